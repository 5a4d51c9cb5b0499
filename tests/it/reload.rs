//! Mappings that change under the sandbox: taken without touching a connection, and never when they have a problem.

use std::path::Path;
use std::time::{Duration, Instant};

use super::http::text;
use super::process::{Process, Sender, code_of};

/// Longer than a change should take; only a failure waits for it.
const TAKEN: Duration = Duration::from_secs(30);

fn copied(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copied(&path, &to);
        } else {
            std::fs::copy(&path, &to).unwrap();
        }
    }
}

fn wait_for(process: &Process, line: &str) {
    let started = Instant::now();
    while !text(process, "/metrics").contains(line) {
        assert!(started.elapsed() < TAKEN, "{line}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_changed_mapping_is_taken_and_a_faulty_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let own = folder.path().join("mappings");
    copied(&root.join("mappings"), &own);
    let process = Process::start_with(folder.path(), |text| {
        text.replace(&format!("{:?}\n", root.join("mappings")), &format!("{own:?}\n"))
    });
    let mut sender = Sender::connect(process.pas).unwrap();
    let mut send = |id: &str| {
        let message = format!(
            "MSH|^~\\&|PAS|RTST|F|P|20260102101112||ADT^A28|{id}|P|2.4\rPID|||9990000018^^^NHS^NH||Doe^Ann||19700101|?||x\r"
        );
        sender.send(message.as_bytes()).unwrap()
    };
    assert_eq!(code_of(&send("R1")), "AA");
    // What the mapping does not use is counted.
    wait_for(&process, "fairway_unread_fields_total{feed=\"demographics\",path=\"PID-10\"} 1");
    wait_for(&process, "fairway_unmapped_codes_total{feed=\"demographics\",path=\"PID-8.1\"} 1");
    let file = own.join("demographics.toml");
    let before = std::fs::read_to_string(&file).unwrap();
    let check = "checks  = [\n";
    let refuse = format!("{check}  {{ if = {{ valued = \"PID-8\" }}, refuse = \"PID-8: reloaded\" }},\n");
    std::fs::write(&file, before.replacen(check, &refuse, 1)).unwrap();
    wait_for(&process, "fairway_reloads_total{result=\"taken\"} 1");
    // The same connection, the new mapping; HTTP has it, too.
    let refused = send("R2");
    assert!(code_of(&refused) == "AR" && refused.contains("PID-8: reloaded"), "{refused}");
    // A faulty one is not taken, and the log says where the fault is.
    std::fs::write(&file, before.replace("\"patient\"", "\"patiet\"")).unwrap();
    wait_for(&process, "fairway_reloads_total{result=\"failed\"} 1");
    assert!(process.log().contains("demographics.toml:7:"), "{}", process.log());
    assert_eq!(code_of(&send("R3")), "AR");
    std::fs::write(&file, before).unwrap();
    wait_for(&process, "fairway_reloads_total{result=\"taken\"} 2");
    assert_eq!(code_of(&send("R4")), "AA");
}
