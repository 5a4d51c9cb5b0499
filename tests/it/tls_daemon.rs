//! TLS of the daemon as it is run: configuration, renewal under open connections, metrics, logs, `fairway send`.

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use fairway::config::Config;
use fairway::mllp::client::{Client, ack_code};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::certificates::{Authority, Pair, VERSIONS, client, connect, put};
use crate::http::text;
use crate::probe::{PATIENCE, framed};
use crate::process::{Process, Sender};

/// A message that the example configuration takes.
fn a28(id: &str) -> String {
    let nhs = crate::crash::nhs_number(0);
    format!(
        "MSH|^~\\&|PAS|RTST|FAIRWAY|PHR|20260102101112||ADT^A28|{id}|P|2.4\rPID|||{nhs}^^^NHS^NH||Smith^John||19700101|M\r"
    )
}

/// Writes the files of a TLS listener into a folder.
fn write(folder: &Path, authority: &Authority, own: &Pair) {
    put(&folder.join("own.pem"), &own.certificate);
    put(&folder.join("own.key"), &own.key);
    put(&folder.join("clients.pem"), &authority.pem());
}

const TLS: &str = "certificate = \"own.pem\", key = \"own.key\", client-ca = \"clients.pem\"";

/// The example configuration with TLS on its first listener.
fn with_tls(text: &str, tls: &str) -> String {
    text.replacen("feeds  = [", &format!("tls = {{ {tls} }}\n  feeds = ["), 1)
}

/// The certificate that the listener shows now.
async fn shown(process: &Process, authority: &Authority, sender: &Pair) -> CertificateDer<'static> {
    let stream = TcpStream::connect(process.pas).await.unwrap();
    let connector = TlsConnector::from(client(VERSIONS[1], authority, Some(sender)));
    let stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

async fn accepted(open: &mut Client, id: &str) {
    let ack = open.send(a28(id).as_bytes()).await.unwrap();
    assert_eq!(ack_code(&ack), Some("AA"), "{}", String::from_utf8_lossy(&ack));
}

/// Waits until the metrics have a line.
async fn metric(process: &Process, line: &str) {
    let began = Instant::now();
    while !text(process, "/metrics").lines().any(|found| found == line) {
        assert!(began.elapsed() < PATIENCE, "{line}\n{}\n{}", text(process, "/metrics"), process.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

const LISTENER: &str = "environment=\"sandbox\",listener=\"pas\"";

#[tokio::test]
async fn certificates_are_renewed_under_open_connections_and_broken_ones_are_not_taken() {
    let (ours, new) = (Authority::new("ours"), Authority::new("new"));
    let (first, second) = (ours.receiver(), ours.issue("receiver", vec![crate::certificates::dns("localhost")], 2998));
    let sender = ours.sender("Jane Doe");
    let der = |pair: &Pair| CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &ours, &first);
    let mut process = Process::start_with(folder.path(), |text| with_tls(&text, TLS));
    let mut open = connect(process.pas, client(VERSIONS[0], &ours, Some(&sender))).await.unwrap();
    accepted(&mut open, "1").await;
    assert_eq!(shown(&process, &ours, &sender).await, der(&first));
    // 2999-12-31, and below 2998-12-31.
    metric(&process, &format!("fairway_tls_certificate_expiry_seconds{{{LISTENER}}} 32503593600")).await;

    // A key that does not belong to the certificate, as in the moment between two files, but for good.
    put(&folder.path().join("own.key"), &second.key);
    metric(&process, &format!("fairway_tls_renewals_total{{{LISTENER},result=\"failed\"}} 1")).await;
    assert_eq!(shown(&process, &ours, &sender).await, der(&first));
    assert!(process.log().contains("tls.renewal_failed") && process.log().contains("does not belong"));
    accepted(&mut open, "2").await;

    put(&folder.path().join("own.pem"), &second.certificate);
    metric(&process, &format!("fairway_tls_renewals_total{{{LISTENER},result=\"taken\"}} 1")).await;
    metric(&process, &format!("fairway_tls_certificate_expiry_seconds{{{LISTENER}}} 32472057600")).await;
    assert_eq!(shown(&process, &ours, &sender).await, der(&second));
    accepted(&mut open, "3").await;

    // Another authority for the clients: who is in stays, who comes now must have its certificate.
    put(&folder.path().join("clients.pem"), &new.pem());
    metric(&process, &format!("fairway_tls_renewals_total{{{LISTENER},result=\"taken\"}} 2")).await;
    assert!(connect(process.pas, client(VERSIONS[0], &ours, Some(&sender))).await.is_err());
    accepted(&mut connect(process.pas, client(VERSIONS[0], &ours, Some(&new.sender("pas")))).await.unwrap(), "4").await;
    accepted(&mut open, "5").await;
    metric(&process, &format!("fairway_tls_handshake_failures_total{{{LISTENER},reason=\"unknown_authority\"}} 1"))
        .await;

    Sender::connect(process.pas).unwrap().raw(&framed("plain")).unwrap();
    metric(&process, &format!("fairway_tls_handshake_failures_total{{{LISTENER},reason=\"not_tls\"}} 1")).await;
    assert_eq!(process.terminate(), Some(0), "the open connection does not hold it");
    let log = process.log();
    assert!(log.contains("tls.handshake_failed") && log.contains("reason=\"unknown_authority\""), "{log}");
    assert!(!log.contains("Jane"), "a certificate may name a person: {log}");
    assert_eq!(process.messages().len(), 5);
}

#[tokio::test]
async fn a_certificate_that_is_not_valid_does_not_take_the_place_of_a_valid_one() {
    let ours = Authority::new("ours");
    let sender = ours.sender("pas");
    let names = || vec![crate::certificates::dns("localhost")];
    let der = |pair: &Pair| CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let first = ours.receiver();
    write(folder.path(), &ours, &first);
    let process = Process::start_with(folder.path(), |text| with_tls(&text, TLS));
    let renewals =
        |result: &str, count: usize| format!("fairway_tls_renewals_total{{{LISTENER},result=\"{result}\"}} {count}");
    // Expired: the earlier one stays.
    write(folder.path(), &ours, &ours.issue("receiver", names(), 2001));
    metric(&process, &renewals("failed", 1)).await;
    assert_eq!(shown(&process, &ours, &sender).await, der(&first));
    assert!(
        process.log().contains("tls.renewal_failed") && !process.log().contains("tls.renewed"),
        "{}",
        process.log()
    );
    metric(&process, &format!("fairway_tls_certificate_expiry_seconds{{{LISTENER}}} 32503593600")).await;
    // Not valid yet: taken once it is.
    let from = std::time::SystemTime::now() + Duration::from_secs(9);
    let later = ours.issue_from(Some(from), "receiver", names(), 2998);
    write(folder.path(), &ours, &later);
    metric(&process, &renewals("failed", 2)).await;
    assert_eq!(shown(&process, &ours, &sender).await, der(&first));
    metric(&process, &renewals("taken", 1)).await;
    assert_eq!(shown(&process, &ours, &sender).await, der(&later));
}

#[test]
fn send_does_tls_and_says_what_is_wrong_with_it() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &ours, &ours.receiver());
    let tls = format!("{TLS}, client-subjects = [\"CN=pas\"]");
    let process = Process::start_with(folder.path(), |text| with_tls(&text, &tls));
    for (name, pair) in [("pas", ours.sender("pas")), ("lab", ours.sender("lab"))] {
        put(&folder.path().join(format!("{name}.pem")), &pair.certificate);
        put(&folder.path().join(format!("{name}.key")), &pair.key);
    }
    put(&folder.path().join("other.pem"), &other.pem());
    put(&folder.path().join("a28.hl7"), &a28("1"));
    let to = format!("localhost:{}", process.pas.port());
    let send = |to: &str, more: &str| -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fairway"));
        command.current_dir(folder.path()).args(["send", "a28.hl7", "--to", to, "--json"]);
        command.args(more.split(' ').filter(|word| !word.is_empty())).output().unwrap()
    };
    let said = |output: &Output| {
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        report["notAccepted"][0]["text"].as_str().unwrap_or_default().to_owned()
    };
    let pas = "--tls --ca clients.pem --cert pas.pem --key pas.key";
    assert_eq!(send(&to, pas).status.code(), Some(0));
    let address = process.pas.to_string();
    assert_eq!(send(&address, &format!("{pas} --server-name localhost")).status.code(), Some(0));
    // Nothing that another try could mend is tried again, so none of these takes its minute.
    let began = Instant::now();
    for (to, more, text) in [
        (&address, "--tls --ca clients.pem --cert pas.pem --key pas.key", "not valid for name"),
        (&to, "--tls --ca other.pem --cert pas.pem --key pas.key", "UnknownIssuer"),
        (&to, "--tls --ca clients.pem", "CertificateRequired"),
        (&to, "--tls --ca clients.pem --cert lab.pem --key lab.key", "AccessDenied"),
    ] {
        let output = send(to, &format!("{more} --retry 60"));
        assert_eq!(output.status.code(), Some(1), "{more}");
        assert!(said(&output).contains(text), "{more}: {}", said(&output));
    }
    assert!(began.elapsed() < Duration::from_secs(20));
    assert_eq!(send(&to, "").status.code(), Some(1), "plain bytes");
    for (more, text) in [
        ("--tls", "--ca"),
        ("--ca clients.pem", "--tls"),
        ("--tls --ca clients.pem --cert pas.pem", "--key"),
        ("--tls --ca missing.pem", "missing.pem"),
        ("--tls --ca pas.key", "--ca: there is no PEM certificate"),
        ("--tls --ca clients.pem --cert pas.pem --key lab.key", "--key: the key does not belong"),
        ("--tls --ca clients.pem --server-name a_b*", "--server-name"),
    ] {
        let output = send(&to, more);
        assert_eq!(output.status.code(), Some(2), "{more}");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains(text), "{more}: {told}");
    }
}

/// The problems of the example configuration, edited, without the folder.
fn problems_of(folder: &Path, edit: impl FnOnce(String) -> String) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("config.example.toml")).unwrap();
    let text = text
        .replace("\"feeds\"\n", &format!("{:?}\n", root.join("feeds")))
        .replace("\"mappings\"\n", &format!("{:?}\n", root.join("mappings")));
    std::fs::write(folder.join("config.toml"), edit(text)).unwrap();
    let found = Config::load(&folder.join("config.toml")).err().unwrap_or_default();
    found.iter().map(|problem| problem.to_string().replace(&format!("{}/", folder.display()), "")).collect()
}

/// The same with this TLS on the first listener.
fn problems(folder: &Path, tls: &str) -> Vec<String> {
    problems_of(folder, |text| with_tls(&text, tls))
}

#[test]
fn check_tells_what_is_wrong_where_and_what_to_do() {
    let ours = Authority::new("ours");
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &ours, &ours.receiver());
    put(&folder.path().join("other.key"), &ours.receiver().key);
    put(&folder.path().join("broken.pem"), "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n");
    assert_eq!(problems(folder.path(), TLS), [""; 0]);
    assert_eq!(problems(folder.path(), "certificate = \"own.pem\", key = \"own.key\", clients = \"any\""), [""; 0]);
    let line = std::fs::read_to_string(folder.path().join("config.toml")).unwrap();
    let line = line.lines().position(|line| line.starts_with("tls") || line.contains(" tls =")).unwrap() + 1;
    for (tls, wanted) in [
        (
            "certificate = \"gone.pem\", key = \"gone.key\", client-ca = \"clients.pem\"",
            &["25: cannot read gone.pem: No such file", "43: cannot read gone.key: No such file"][..],
        ),
        (
            "certificate = \"own.key\", key = \"own.pem\", client-ca = \"config.toml\"",
            &[
                "25: there is no PEM certificate in it (hint: it must hold",
                "42: there is no PEM private key in it (hint: it must hold",
                "65: there is no PEM certificate in it",
            ],
        ),
        (
            "certificate = \"own.pem\", key = \"other.key\", client-ca = \"clients.pem\"",
            &["42: the key does not belong to the certificate (hint: the first"],
        ),
        (
            "certificate = \"broken.pem\", key = \"own.key\", client-ca = \"broken.pem\"",
            &["25: certificate 1 cannot be read", "68: certificate 1 cannot be read"],
        ),
        ("certificate = \"own.pem\", key = \"own.key\"", &["9: `client-ca` is missing (hint: add"]),
        (
            "certificate = \"own.pem\", key = \"own.key\", clients = \"all\"",
            &["63: unknown clients `all` (hint: `any`"],
        ),
        (
            "certificate = \"own.pem\", key = \"own.key\", client-ca = \"clients.pem\", clients = \"any\"",
            &["90: `clients` and `client-ca` exclude each other"],
        ),
        (
            "certificate = \"own.pem\", key = \"own.key\", client-ca = \"clients.pem\", client-subjects = [\"pas\", \"CN=\"]",
            &["99: `pas` is no subject (hint: `CN=name`", "106: `CN=` is no subject"],
        ),
        (
            "certificate = \"own.pem\", key = \"own.key\", clients = \"any\", client-subjects = [\"CN=pas\"]",
            &["89: `client-subjects` without `client-ca`"],
        ),
        (
            "certificat = \"own.pem\", key = \"own.key\", client-ca = \"clients.pem\"",
            &["9: `certificate` is missing", "11: unknown key `certificat` (hint: did you mean `certificate`?)"],
        ),
    ] {
        let found = problems(folder.path(), tls);
        let matches = |(found, wanted): (&String, &&str)| found.starts_with(&format!("config.toml:{line}:{wanted}"));
        assert!(found.len() == wanted.len() && found.iter().zip(wanted).all(matches), "{tls}\n{found:#?}");
    }
    // The comment of the example is what it says.
    let found = problems_of(folder.path(), |text| {
        let keys = ["[environment.listener.tls]", "certificate ", "key ", "client-"];
        keys.into_iter().fold(text, |text, key| text.replace(&format!("  # {key}"), key))
    });
    assert!(found.len() == 3 && found.iter().all(|one| one.contains("cannot read tls/")), "{found:#?}");
    // The daemon does not start then.
    let run = |command: &str| {
        let config = folder.path().join("config.toml");
        Command::new(env!("CARGO_BIN_EXE_fairway")).args([command, "--config"]).arg(config).output().unwrap()
    };
    assert_eq!((run("check").status.code(), run("run").status.code()), (Some(1), Some(2)));
}

#[test]
fn an_expired_certificate_is_a_warning() {
    let ours = Authority::new("ours");
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &ours, &ours.issue("receiver", Vec::new(), 2001));
    assert_eq!(problems(folder.path(), TLS), [""; 0]);
    let check = |more: &[&str]| {
        let config = folder.path().join("config.toml");
        Command::new(env!("CARGO_BIN_EXE_fairway")).args(["check", "--config"]).arg(config).args(more).output().unwrap()
    };
    let (shown, json) = (check(&[]), check(&["--json"]));
    assert_eq!((shown.status.code(), json.status.code()), (Some(0), Some(0)));
    let told = String::from_utf8_lossy(&shown.stderr).into_owned();
    assert!(told.contains("warning: the certificate has expired at 2001-12-31T00:00:00Z"), "{told}");
    let list: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&list[0]["level"], &list[0]["column"]), (&"warning".into(), &25.into()), "{list}");
    // The demo has no certificate of a client; it says so and opens nothing in its place.
    let config = folder.path().join("config.toml");
    let demo = Command::new(env!("CARGO_BIN_EXE_fairway")).args(["demo", "--config"]).arg(config).output().unwrap();
    assert_eq!(demo.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&demo.stderr).contains("listener `pas` does TLS"));
    let process = Process::start_with(folder.path(), |text| with_tls(&text, TLS));
    assert!(process.log().contains("config.warning"), "{}", process.log());
    // Another one that has expired is no worse, and is taken.
    write(folder.path(), &ours, &ours.issue("receiver", Vec::new(), 2002));
    let began = Instant::now();
    while !process.log().contains("tls.renewed") {
        assert!(began.elapsed() < PATIENCE, "{}", process.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}
