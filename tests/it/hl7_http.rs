//! Messages over HTTP: ER7 and the SOAP envelope of hl7-api 1.2, with credentials.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::process::Process;

/// SHA-256 of `a long password`.
const DIGEST: &str = "57d97be35f73c41156e93e6617bce1fdb8bd07132a96a844b6f5d3329189d69b";

const PERSON: &str = "PID|||9434765919^^^NHS^NH||Smith^John||19700101|M\r";

fn message(id: &str, event: &str, rest: &str) -> String {
    format!("MSH|^~\\&|PAS|X|FAIRWAY|PHR|20260102101112||{event}|{id}|P|2.4\r{rest}")
}

fn start(credentials: &str) -> (tempfile::TempDir, Process) {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start_with(folder.path(), |text| {
        let text = text.replace("\"test-range\"", "\"any\"");
        text.replace("  # Patient numbers of this organisation", &format!("{credentials}\n  # Patient numbers"))
    });
    (folder, process)
}

fn credential(user: &str, team: &str) -> String {
    let team = if team.is_empty() { String::new() } else { format!("team = \"{team}\"\n") };
    format!("[[organisation.credential]]\nuser = \"{user}\"\npassword-sha256 = \"{DIGEST}\"\n{team}")
}

/// Status, head and body.
fn request(process: &Process, first: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, String, String) {
    let (status, head, body) = request_bytes(process, first, headers, body);
    (status, head, String::from_utf8(body).unwrap())
}

fn request_bytes(process: &Process, first: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, String, Vec<u8>) {
    let mut stream = TcpStream::connect(process.http).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut head =
        format!("{first} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(&[head.as_bytes(), b"\r\n", body].concat()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head, answer[end + 4..].to_vec())
}

const ER7: (&str, &str) = ("Content-Type", "application/hl7-v2; charset=utf-8");
const XML: (&str, &str) = ("Content-Type", "text/xml; charset=utf-8");

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

fn envelope(message: &str) -> String {
    format!(
        "<soapenv:Envelope xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\" \
         xmlns:wss=\"http://wsssl.hl7api.patientsknowbest.com/\"><soapenv:Header/><soapenv:Body><wss:acceptMessage>\
         <arg0><![CDATA[{message}]]></arg0></wss:acceptMessage></soapenv:Body></soapenv:Envelope>"
    )
}

#[test]
fn er7_by_post_is_answered_as_over_mllp() {
    let (_folder, process) = start("");
    let post = |path: &str, headers: &[(&str, &str)], body: &str| {
        request(&process, &format!("POST {path}"), headers, body.as_bytes())
    };
    let (status, head, body) = post("/sandbox/hl7/demographics", &[ER7], &message("H1", "ADT^A28", PERSON));
    assert_eq!(status, 200, "{body}");
    assert!(head.to_lowercase().contains("content-type: application/hl7-v2"), "{head}");
    assert!(body.contains("MSA|AA|H1\r"), "{body}");
    assert_eq!(process.reader().records_of(None, "9434765919").unwrap().len(), 1);
    // The feed of the address takes its own kinds of message only; what it does not take is kept all the same.
    let (status, _, body) = post("/sandbox/hl7/pathology", &[ER7], &message("H2", "ADT^A28", PERSON));
    assert_eq!(status, 200);
    assert!(body.contains("MSA|AR|H2|Parsing or validation error: MSH-9"), "{body}");
    let batch =
        format!("BHS|^~\\&|PAS\r{}{}BTS|2\r", message("H3", "ADT^A28", PERSON), message("H4", "ADT^A31", PERSON));
    let (_, _, body) = post("/sandbox/hl7/demographics", &[ER7], &batch);
    assert!(body.contains("MSA|AA|H3\r") && body.contains("MSA|AA|H4\r") && body.ends_with("BTS|2\r"), "{body}");
    let (status, _, body) = post("/sandbox/hl7/demographics", &[ER7], "not a message");
    assert_eq!(status, 200);
    assert!(body.contains("MSA|AE|"), "{body}");
    assert_eq!(process.messages().len(), 5);
    let frame = |id: &str| format!("\x0B{}\x1C\r", message(id, "ADT^A28", PERSON));
    let (status, _, body) = post("/sandbox/hl7/demographics", &[ER7], &[frame("H5"), frame("H6")].concat());
    assert_eq!((status, body.contains("MLLP frame"), process.messages().len()), (400, true, 5), "{body}");
    let (status, _, body) = post("/sandbox/hl7/demographics", &[ER7], &frame("H7"));
    assert_eq!((status, body.contains("MSA|AA|H7\r")), (200, true), "{body}");
    assert_eq!(post("/sandbox/hl7/nothing", &[ER7], "x").0, 404);
    // Nothing listens in production, so nothing is taken there either.
    assert_eq!(post("/production/hl7/demographics", &[ER7], "x").0, 404);
    assert_eq!(post("/sandbox/hl7/demographics", &[("Content-Type", "text/plain")], "x").0, 415);
    assert_eq!(post("/sandbox/hl7/demographics", &[], "x").0, 415);
    assert_eq!(request(&process, "GET /sandbox/hl7/demographics", &[], b"").0, 405);
    let long = "x".repeat(200 * 1024 * 1024);
    assert_eq!(post("/sandbox/hl7/demographics", &[ER7], &long[..10]).0, 200);
    let mut stream = TcpStream::connect(process.http).unwrap();
    let head = "POST /sandbox/hl7/demographics HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/hl7-v2\r\n\
                Content-Length: 209715200\r\nConnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[test]
fn the_soap_envelope_is_taken_with_its_credentials() {
    let (_folder, process) = start(&format!("{}{}", credential("pas", ""), credential("renal", "RTST-RENAL")));
    let call = |user: &str, password: &str, body: &str| {
        let authorization = basic(user, password);
        let headers = [XML, ("Authorization", authorization.as_str())];
        request(&process, "POST /sandbox/services/hl7", &headers, body.as_bytes())
    };
    // As an XML reader of the sender's leaves it: line ends are LF.
    let a28 = message("S1", "ADT^A28", PERSON).replace('\r', "\n");
    for (user, password) in [("pas", "wrong"), ("nobody", "a long password"), ("", "")] {
        let (status, head, body) = call(user, password, &envelope(&a28));
        assert_eq!(status, 401, "{body}");
        assert!(head.to_lowercase().contains("www-authenticate: basic"), "{head}");
    }
    let (status, head, body) = call("pas", "a long password", &envelope(&a28));
    assert_eq!(status, 200, "{body}");
    assert!(head.to_lowercase().contains("content-type: text/xml"), "{head}");
    assert!(body.contains("acceptMessageResponse") && body.contains("&#13;MSA|AA|S1&#13;</return>"), "{body}");
    let record = process.reader().records_of(None, "9434765919").unwrap()[0];
    let teams = |process: &Process| {
        let path = format!("GET /sandbox/fhir/CareTeam?patient={record}&status=active");
        request(process, &path, &[], b"").2.matches("\"resourceType\":\"CareTeam\"").count()
    };
    assert_eq!(teams(&process), 1);
    // A rejection is an answer, not a fault, and has the plain form of hl7-api 1.5.
    let bad = message("S2", "ADT^A28", &PERSON.replace("9434765919", "9434765910")).replace("|2.4", "|2.5");
    let (status, _, body) = call("pas", "a long password", &envelope(&bad));
    assert_eq!(status, 200);
    assert!(body.contains("MSA|AR|S2|Parsing or validation error: PID-3") && !body.contains("ERR|"), "{body}");
    // A team's credential makes that team the creating one.
    let (_, _, body) = call("renal", "a long password", &envelope(&message("S3", "ADT^A31", PERSON)));
    assert!(body.contains("MSA|AA|S3"), "{body}");
    assert_eq!(teams(&process), 2);
    for broken in ["", "<a>", "<!DOCTYPE x><a/>", &envelope("")] {
        let (status, _, body) = call("pas", "a long password", broken);
        assert_eq!(status, 500, "{broken}");
        assert!(body.contains("<faultstring>"), "{body}");
    }
    // With credentials configured, ER7 needs them too.
    let er7 = message("S4", "ADT^A28", PERSON);
    assert_eq!(request(&process, "POST /sandbox/hl7/demographics", &[ER7], er7.as_bytes()).0, 401);
    let authorization = basic("pas", "a long password");
    let headers = [ER7, ("Authorization", authorization.as_str())];
    assert_eq!(request(&process, "POST /sandbox/hl7/demographics", &headers, er7.as_bytes()).0, 200);
    let (status, _, body) = request(&process, "GET /sandbox/services/hl7?wsdl", &[], b"");
    assert_eq!(status, 200);
    assert!(body.contains("location=\"http://localhost/sandbox/services/hl7\""), "{body}");
    assert_eq!(request(&process, "GET /sandbox/services/hl7", &[], b"").0, 405);
    let log = process.log();
    assert!(!log.contains("long password") && !log.contains(DIGEST) && !log.contains("9434765919"), "{log}");
}

#[test]
fn a_stop_answers_what_was_handed_over_and_takes_no_more() {
    let (_folder, mut process) = start("");
    let mut slow = TcpStream::connect(process.http).unwrap();
    // A body that never ends does not hold up the stop.
    let head = "POST /sandbox/hl7/demographics HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/hl7-v2\r\n\
                Content-Length: 1000\r\n\r\nMSH|";
    slow.write_all(head.as_bytes()).unwrap();
    let body = message("Z1", "ADT^A28", PERSON);
    assert_eq!(request(&process, "POST /sandbox/hl7/demographics", &[ER7], body.as_bytes()).0, 200);
    let started = std::time::Instant::now();
    assert_eq!(process.terminate(), Some(0), "{}", process.log());
    assert!(started.elapsed() < Duration::from_secs(30));
    assert_eq!(process.messages().len(), 1);
}

#[test]
fn silent_requests_hold_up_nobody_and_are_given_up() {
    let (_folder, process) = start("");
    let head = |path: &str, kind: &str, length: &str| {
        format!("POST /sandbox/{path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n{length}\r\n\r\n")
    };
    let silent: Vec<TcpStream> = [
        head("services/hl7", "text/xml", "Transfer-Encoding: chunked"),
        head("services/hl7", "text/xml", "Transfer-Encoding: chunked"),
        head("hl7/demographics", "application/hl7-v2", "Content-Length: 134217727"),
        head("hl7/demographics", "application/hl7-v2", "Content-Length: 134217727"),
    ]
    .iter()
    .map(|head| {
        let mut stream = TcpStream::connect(process.http).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        stream
    })
    .collect();
    std::thread::sleep(Duration::from_millis(100));
    let began = std::time::Instant::now();
    // Longer than what needs no memory of the pool.
    let long = message("L1", "ADT^A28", &format!("{PERSON}NTE|1||{}\r", "x".repeat(1_000_000)));
    let (status, _, body) = request(&process, "POST /sandbox/hl7/demographics", &[ER7], long.as_bytes());
    assert_eq!((status, body.contains("MSA|AA|L1")), (200, true), "{body}");
    let (status, _, body) =
        request(&process, "POST /sandbox/services/hl7", &[XML], envelope(&message("L2", "ADT^A28", PERSON)).as_bytes());
    assert_eq!(status, 200, "{body}");
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    for mut stream in silent {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    }
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}

#[test]
fn character_sets_are_taken_from_the_request_and_told_in_the_answer() {
    let (_folder, process) = start("");
    let family = |process: &Process, nhs: &str| {
        let path = format!("GET /sandbox/fhir/Patient?identifier={nhs}");
        request(process, &path, &[], b"").2
    };
    let latin = |text: &str| text.chars().map(|c| u8::try_from(c).unwrap()).collect::<Vec<u8>>();
    let person = |n: usize, name: &str| {
        let nhs = crate::crash::nhs_number(n);
        (nhs.clone(), format!("PID|||{nhs}^^^NHS^NH||{name}^John||19700101|M\r"))
    };
    let post = |kind: &str, body: &[u8]| {
        request_bytes(&process, "POST /sandbox/hl7/demographics", &[("Content-Type", kind)], body)
    };
    // \u{a3} of 8859/1 is \u{141} in 8859/2.
    let (nhs, pid) = person(1, "\u{a3}ukasz");
    assert_eq!(post("application/hl7-v2; charset=iso-8859-2", &latin(&message("C1", "ADT^A28", &pid))).0, 200);
    assert!(family(&process, &nhs).contains("\u{141}ukasz"), "{}", family(&process, &nhs));
    // MSH-18 goes first.
    let (nhs, pid) = person(2, "\u{a3}ukasz");
    let labelled = message("C2", "ADT^A28", &pid).replace("|2.4\r", "|2.4||||||8859/1\r");
    let (_, head, body) = post("application/hl7-v2; charset=\"ISO-8859-2\"", &latin(&labelled));
    assert!(family(&process, &nhs).contains("\u{a3}ukasz"));
    assert!(head.contains("application/hl7-v2; charset=utf-8") && body.ends_with(b"|2.4||||||8859/1\rMSA|AA|C2\r"));
    // Out of an envelope comes text, whatever MSH-18 says of it.
    for (n, set, name) in
        [(4, "8859/2", "\u{17b}ak"), (5, "8859/5", "\u{420}\u{43e}\u{43c}\u{430}\u{43d}"), (6, "8859/15", "\u{e9}lan")]
    {
        let (nhs, pid) = person(n, name);
        let labelled = message(&format!("S{n}"), "ADT^A28", &pid).replace("|2.4\r", &format!("|2.4||||||{set}\r"));
        let headers = [("Content-Type", "text/xml; charset=utf-8")];
        let (status, _, body) =
            request(&process, "POST /sandbox/services/hl7", &headers, envelope(&labelled).as_bytes());
        assert_eq!(status, 200, "{body}");
        assert!(family(&process, &nhs).contains(name), "{set}: {}", family(&process, &nhs));
    }
    // An answer that is not UTF-8 is not said to be.
    let (_, pid) = person(3, "Smith");
    let zoe = message("C3", "ADT^A28", &pid).replace("|PAS|", "|Zo\u{eb}|").replace("|2.4\r", "|2.4||||||8859/1\r");
    let (_, head, body) = post("application/hl7-v2", &latin(&zoe));
    assert!(head.contains("application/hl7-v2; charset=iso-8859-1"), "{head}");
    assert!(body.windows(4).any(|four| four == b"Zo\xEB|"));
    // Nor is that of a batch, or one whose bytes could be UTF-8 by chance.
    let batch = |messages: &[String]| latin(&format!("BHS|^~\\&|PAS\r{}BTS|{}\r", messages.concat(), messages.len()));
    let head_of = |body: &[u8]| post("application/hl7-v2", body).1.to_lowercase();
    let head = head_of(&batch(&[zoe.replace("|C3|", "|C31|"), message("C32", "ADT^A28", &pid)]));
    assert!(head.contains("application/hl7-v2; charset=iso-8859-1"), "{head}");
    let jozwiak = |id: &str| {
        let text = message(id, "ADT^A28", &pid).replace("|PAS|", "|J\u{d3}\u{ac}WIAK|");
        text.replace("|2.4\r", "|2.4||||||8859/2\r")
    };
    let head = head_of(&latin(&jozwiak("C33")));
    assert!(head.contains("application/hl7-v2; charset=iso-8859-2"), "{head}");
    let head = head_of(&batch(&[zoe.replace("|C3|", "|C34|"), jozwiak("C35")]));
    assert!(head.contains("application/hl7-v2\r\n"), "two sets in one body: {head}");
    let wide: Vec<u8> = message("C36", "ADT^A28", &pid).encode_utf16().flat_map(u16::to_le_bytes).collect();
    let head = head_of(&wide);
    assert!(head.contains("application/hl7-v2; charset=utf-16"), "{head}");
    assert_eq!(post("application/hl7-v2; charset=klingon", b"x").0, 415);

    let call =
        |kind: &str, body: &[u8]| request(&process, "POST /sandbox/services/hl7", &[("Content-Type", kind)], body);
    let (nhs, pid) = person(4, "Zo\u{eb}");
    let (status, _, body) =
        call("text/xml; charset=ISO-8859-1", &latin(&envelope(&message("C4", "ADT^A28", &pid).replace('\r', "\n"))));
    assert_eq!((status, body.contains("MSA|AA|C4")), (200, true), "{body}");
    assert!(family(&process, &nhs).contains("Zo\u{eb}"));
    // The answer is text, whatever set the message says it is in.
    let zoe = zoe.replace('\r', "\n").replace("|C3|", "|C5|");
    let (_, _, body) = call("application/xml; charset=UTF-8", envelope(&zoe).as_bytes());
    assert!(body.contains("|Zo\u{eb}|") && body.contains("MSA|AA|C5"), "{body}");
    // SOAP 1.2 is answered in SOAP 1.2.
    let twelve = |message: &str| {
        envelope(message)
            .replace("http://schemas.xmlsoap.org/soap/envelope/", "http://www.w3.org/2003/05/soap-envelope")
    };
    let (status, head, body) =
        call("application/soap+xml; charset=utf-8", twelve(&zoe.replace("|C5|", "|C6|")).as_bytes());
    assert_eq!(status, 200);
    assert!(head.to_lowercase().contains("content-type: application/soap+xml"), "{head}");
    assert!(body.contains("http://www.w3.org/2003/05/soap-envelope") && body.contains("MSA|AA|C6"), "{body}");
    let (status, _, body) = call("application/soap+xml", b"<a/>");
    assert_eq!((status, body.contains("soapenv:Sender")), (400, true), "{body}");
    let demanding = twelve(&zoe)
        .replace("<soapenv:Header/>", "<soapenv:Header><x soapenv:mustUnderstand=\"true\"/></soapenv:Header>");
    let (status, _, body) = call("application/soap+xml", demanding.as_bytes());
    assert_eq!((status, body.contains("soapenv:MustUnderstand")), (500, true), "{body}");
    // An acknowledgement is kept, and a caller must be told something.
    let stored = process.messages().len();
    let (status, _, body) = call("text/xml", envelope("MSH|^~\\&|A|B|C|D|2026||ACK|C7|P|2.4\nMSA|AA|1").as_bytes());
    assert_eq!((status, body.contains("<faultstring>")), (500, true), "{body}");
    assert_eq!(process.messages().len(), stored + 1);
}

#[test]
fn the_same_bytes_are_another_message_for_another_organisation_and_another_team() {
    let other = "[[organisation]]\ncode = \"ROTH\"\nname = \"Other Hospital\"\n[[organisation.team]]\nalias = \"ROTH-PRT\"\n\
                 name = \"Other\"\nkind = \"patient-record\"\naccess = []\n";
    let folder = tempfile::tempdir().unwrap();
    let feeds = folder.path().join("feeds");
    std::fs::create_dir(&feeds).unwrap();
    for feed in std::fs::read_dir(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("feeds")).unwrap() {
        let path = feed.unwrap().path();
        std::fs::copy(&path, feeds.join(path.file_name().unwrap())).unwrap();
    }
    let theirs = std::fs::read_to_string(feeds.join("demographics.toml")).unwrap().replace("\"RTST\"", "\"ROTH\"");
    std::fs::write(feeds.join("theirs.toml"), theirs).unwrap();
    let process = Process::start_with(folder.path(), |text| {
        let own = format!("{}{}", credential("pas", ""), credential("renal", "RTST-RENAL"));
        let text = text.replace("\"test-range\"", "\"any\"");
        let text = text.replace("  # Patient numbers of this organisation", &format!("{own}\n  # Patient numbers"));
        let text = text.replacen("[\"radiology\",", "[\"theirs\", \"radiology\",", 1);
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let text = text.replace(&format!("{:?}\n", root.join("feeds")), &format!("{feeds:?}\n"));
        text.replacen("# The sandbox takes", &format!("{other}{}\n# The sandbox takes", credential("other", "")), 1)
    });
    let post = |user: &str, path: &str, headers: (&str, &str), body: &str| {
        let authorization = basic(user, "a long password");
        request(&process, &format!("POST {path}"), &[headers, ("Authorization", &authorization)], body.as_bytes())
    };
    let a28 = message("B1", "ADT^A28", PERSON);
    for (user, feed) in [("pas", "demographics"), ("other", "theirs"), ("renal", "demographics")] {
        let (status, _, body) = post(user, &format!("/sandbox/hl7/{feed}"), ER7, &a28);
        assert_eq!((status, body.contains("MSA|AA|B1")), (200, true), "{user}: {body}");
    }
    let outcomes = |process: &Process| -> Vec<(String, &str)> {
        process.messages().iter().map(|one| (one.feed.clone(), one.outcome.as_str())).collect()
    };
    assert!(outcomes(&process).iter().all(|(_, outcome)| *outcome != "repeat"), "{:?}", outcomes(&process));
    // By SOAP the feed is found among those of the credential; there the bytes are a repeat.
    let escaped = a28.replace('&', "&amp;").replace('\r', "&#13;");
    let plain = envelope("").replace("<![CDATA[]]>", &escaped);
    for user in ["pas", "other"] {
        let (status, _, body) = post(user, "/sandbox/services/hl7", XML, &plain);
        assert_eq!((status, body.contains("MSA|AA|B1")), (200, true), "{user}: {body}");
    }
    let found = outcomes(&process);
    assert_eq!(found[found.len() - 2..], [("demographics".to_owned(), "repeat"), ("theirs".to_owned(), "repeat")]);
}
