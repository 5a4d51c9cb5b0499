//! Memory stays bounded whatever many senders bring at once.

use super::process::{Process, Sender, code_of};

/// Resident memory of the process, in MiB.
fn resident(process: &Process) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<usize>().unwrap() / 1024
}

#[test]
fn many_large_messages_at_once_take_turns() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start_with(folder.path(), |text| text.replace("\"test-range\"", "\"any\""));
    let patient = "MSH|^~\\&|PAS|RTST|F|P|20260101||ADT^A28|P1|P|2.4\rPID|||9434765919^^^NHS^NH||Smith^John\r";
    assert_eq!(code_of(&Sender::connect(process.pas).unwrap().send(patient.as_bytes()).unwrap()), "AA");
    assert!(resident(&process) < 40, "idle: {} MiB", resident(&process));
    // Each becomes 10,000 results of some 7 KB; all of them together would take about 1 GB.
    let threads: Vec<_> = (0..14)
        .map(|sender| {
            let address = process.results;
            std::thread::spawn(move || {
                let mut message = format!(
                    "MSH|^~\\&|LAB|RTST|F|P|20260102||ORU^R01|M{sender}|P|2.4\rPID|||9434765919^^^NHS^NH\r\
                     OBR|1||F{sender}|P^P|||20260101\r"
                );
                for test in 0..10_000 {
                    message.push_str(&format!("OBX|{test}|NM|T{test}^t||1|u|||||F\r"));
                }
                code_of(&Sender::connect(address).unwrap().send(message.as_bytes()).unwrap()).to_owned()
            })
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), "AA");
    }
    let peak = resident(&process);
    println!("{peak} MiB");
    assert!(peak < 800, "{peak} MiB");
}
