//! The FHIR API over what the daemon filed: read, history, search, paging, includes, everything, errors.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use fairway_core::fhir::{self, Json};

use super::process::{Process, Sender, code_of};

mod connections;
mod edges;
mod limits;

/// An answer, as far as tests look at it.
struct Reply {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Reply {
    fn json(&self) -> Json {
        Json::parse(&self.body).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&self.body)))
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

fn request(address: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> Reply {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    )
    .unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let split = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(bytes[..split].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Reply { status, head, body: bytes[split + 4..].to_vec() }
}

fn get(process: &Process, path: &str) -> Reply {
    request(process.http, "GET", path, "", "")
}

/// The body of an answer, as text.
pub(crate) fn text(process: &Process, path: &str) -> String {
    String::from_utf8(get(process, path).body).unwrap()
}

/// A bundle that must be valid, resource by resource.
fn bundle(process: &Process, path: &str) -> Json {
    let reply = get(process, path);
    assert_eq!(reply.status, 200, "{path}: {}", String::from_utf8_lossy(&reply.body));
    let json = reply.json();
    assert_eq!(fhir::check(&json), [], "{path}");
    for resource in resources(&json) {
        assert_eq!(fhir::check(resource), [], "{path}");
    }
    json
}

fn resources(bundle: &Json) -> Vec<&Json> {
    let entries = bundle.get("entry").and_then(Json::as_array).unwrap_or_default();
    entries.iter().filter_map(|entry| entry.get("resource")).collect()
}

/// Type and id of each entry, in order.
fn names(bundle: &Json) -> Vec<String> {
    let name = |json: &Json| format!("{}/{}", json.str_at("resourceType").unwrap(), json.str_at("id").unwrap());
    resources(bundle).into_iter().map(name).collect()
}

/// Path of the next page, when there is one.
fn next(bundle: &Json) -> Option<String> {
    let links = bundle.get("link").and_then(Json::as_array).unwrap_or_default();
    let next = links.iter().find(|link| link.str_at("relation") == Some("next"))?;
    let url = next.str_at("url")?;
    Some(url[url.find("/sandbox")?..].to_owned())
}

fn count(process: &Process, path: &str) -> usize {
    resources(&bundle(process, path)).len()
}

const NHS: &str = "https://fhir.nhs.uk/Id/nhs-number";

fn header(application: &str, event: &str, id: &str) -> String {
    format!("MSH|^~\\&|{application}|RTST|FAIRWAY|PHR|20260102101112||{event}|{id}|P|2.4\r")
}

fn pid(nhs: &str, name: &str, born: &str, sex: &str) -> String {
    format!("PID|||{nhs}^^^NHS^NH||{name}||{born}|{sex}\r")
}

/// A process with two patients and something of everything.
fn filled() -> (tempfile::TempDir, Process) {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start_with(folder.path(), |text| text.replace("\"test-range\"", "\"any\""));
    let (ann, ben) =
        (pid("9434765919", "Müller^Ann^Mary", "19700101", "F"), pid("4444444444", "Mull^Ben", "19800229", "M"));
    let mut pas = vec![
        header("PAS", "ADT^A28", "H1") + &ann + "ZTM|RTST-PRT~RTST-RENAL\r",
        header("PAS", "ADT^A28", "H2") + &ben,
    ];
    for (index, day) in [3, 4, 5].iter().enumerate() {
        pas.push(
            header("PAS", "SIU^S12", &format!("H3{index}"))
                + &ann
                + &format!(
                    "SCH|AP{index}||||||^Check up||||^^^2026030{day}0900^2026030{day}0930\rPV1|||^^^^^^^^Clinic\r"
                ),
        );
    }
    pas.push(header("PAS", "SIU^S15", "H4") + &ann + "SCH|AP2\r");
    pas.push(
        header("PAS", "ADT^A01", "H5")
            + &ben
            + "PV1||I|^^^^^^^^Ward 1|||||||710|||||||||V1|||||||||||||||||||||||||202601010800\r",
    );
    pas.push(
        header("PAS", "MDM^T02", "H6")
            + &ann
            + "TXA|1|DS||20260101||||||||DOC1|||||AU\rOBX|1|ED|1^Letter||^TEXT^HTML^A^<b>Dear Ann</b>\r",
    );
    let mut sender = Sender::connect(process.pas).unwrap();
    for message in pas {
        let ack = sender.send(message.as_bytes()).unwrap();
        assert_eq!(code_of(&ack), "AA", "{ack}");
    }
    let lab = header("LAB", "ORU^R01", "H7")
        + &ann
        + "OBR|1||F1|FBC^Full blood count|||202601010800\rOBX|1|NM|HB^Haemoglobin||13.20|g/dL|12-16|N|||F\rOBX|2|NM|WBC^White cells||4.0|10*9/L|||||F\r";
    let ack = Sender::connect(process.results).unwrap().send(lab.as_bytes()).unwrap();
    assert_eq!(code_of(&ack), "AA", "{ack}");
    (folder, process)
}

#[test]
fn resources_are_read_with_their_versions() {
    let (_folder, process) = filled();
    let found = bundle(&process, "/sandbox/fhir/Appointment?identifier=AP2");
    let id = resources(&found)[0].str_at("id").unwrap().to_owned();
    let reply = get(&process, &format!("/sandbox/fhir/Appointment/{id}"));
    let json = reply.json();
    assert_eq!((reply.status, reply.header("etag")), (200, Some("W/\"2\"")));
    assert_eq!(reply.header("content-type"), Some("application/fhir+json; fhirVersion=4.0; charset=utf-8"));
    assert_eq!(fhir::check(&json), []);
    assert_eq!(json.str_at("status"), Some("cancelled"));
    assert_eq!(json.str_at("meta.versionId"), Some("2"));
    assert_eq!(json.str_at("meta.security[0].code"), Some("GENERAL_HEALTH"));
    assert_eq!(json.str_at("description"), Some("Check up"));
    let known =
        request(process.http, "GET", &format!("/sandbox/fhir/Appointment/{id}"), "If-None-Match: W/\"2\"\r\n", "");
    assert_eq!((known.status, known.body.len()), (304, 0));
    let first = get(&process, &format!("/sandbox/fhir/Appointment/{id}/_history/1"));
    assert_eq!(first.json().str_at("status"), Some("booked"));
    assert_eq!(get(&process, &format!("/sandbox/fhir/Appointment/{id}/_history/3")).status, 404);
    let history = bundle(&process, &format!("/sandbox/fhir/Appointment/{id}/_history"));
    let versions: Vec<&str> = resources(&history).iter().filter_map(|json| json.str_at("meta.versionId")).collect();
    assert_eq!(versions, ["2", "1"]);
}

#[test]
fn searches_by_every_parameter() {
    let (_folder, process) = filled();
    let patient = |query: &str| count(&process, &format!("/sandbox/fhir/Patient?{query}"));
    assert_eq!(patient(""), 2);
    assert_eq!(patient("identifier=9434765919"), 1);
    assert_eq!(patient(&format!("identifier={NHS}|9434765919")), 1);
    assert_eq!(patient("identifier=urn:x|9434765919"), 0);
    assert_eq!(patient("family=mull"), 2, "string search starts with, without accents and case");
    assert_eq!(patient("family:exact=Mull"), 1);
    assert_eq!(patient("given=mary"), 1);
    assert_eq!(patient("birthdate=1980-02-29"), 1);
    assert_eq!(patient("birthdate=lt1975"), 1);
    assert_eq!(patient("gender=male"), 1);
    assert_eq!(patient("family=mull&gender=female"), 1);
    assert_eq!(patient("_lastUpdated=ge2020-01-01"), 2);
    assert_eq!(patient("_lastUpdated=lt2020-01-01"), 0);

    let ann = resources(&bundle(&process, "/sandbox/fhir/Patient?given=ann"))[0].str_at("id").unwrap().to_owned();
    let other = |path: &str| count(&process, &format!("/sandbox/fhir/{path}"));
    assert_eq!(other(&format!("Appointment?patient={ann}")), 3);
    assert_eq!(other(&format!("Appointment?patient=Patient/{ann}&status=booked")), 2);
    assert_eq!(other(&format!("Appointment?patient.identifier={NHS}|9434765919&date=2026-03-04")), 1);
    assert_eq!(other("Appointment?date=ge2026-03-04&date=lt2026-03-05"), 1);
    assert_eq!(other("Appointment?date=ge2026-03-04"), 2);
    assert_eq!(other("Appointment?status=cancelled"), 1);
    assert_eq!(other("Appointment?identifier=urn:fairway:rtst:appointment|AP1"), 1);
    assert_eq!(other("Encounter?status=in-progress"), 1);
    assert_eq!(other(&format!("Encounter?subject={ann}")), 0);
    assert_eq!(other("Observation?code=HB"), 1);
    assert_eq!(other("Observation?category=laboratory&code=HB,WBC"), 2);
    assert_eq!(other("DiagnosticReport?category=LAB&status=unknown"), 1);
    assert_eq!(other("DiagnosticReport?identifier=F1"), 1);
    assert_eq!(other("DocumentReference?identifier=DOC1"), 1);
    assert_eq!(other("CareTeam?identifier=RTST-RENAL&status=active"), 1);
    assert_eq!(other(&format!("CareTeam?patient={ann}")), 2);
    assert_eq!(other("Organization?identifier=RTST-PRT"), 1);
    assert_eq!(other("Organization?name=renal"), 1);
    assert_eq!(other("Patient?_id=00000000-0000-8000-8000-000000000000"), 0);
    let post = request(
        process.http,
        "POST",
        "/sandbox/fhir/Patient/_search",
        "Content-Type: application/x-www-form-urlencoded\r\n",
        "given=ann",
    );
    assert_eq!(names(&post.json()).len(), 1);
    assert_eq!(count(&process, "/production/fhir/Patient"), 0, "nothing crosses between environments");
}

#[test]
fn pages_follow_each_other_and_includes_come_once() {
    let (_folder, process) = filled();
    let mut seen = Vec::new();
    let mut path = "/sandbox/fhir/Appointment?_count=2&status=booked,cancelled".to_owned();
    loop {
        let page = bundle(&process, &path);
        seen.extend(names(&page));
        let links = page.get("link").and_then(Json::as_array).unwrap_or_default();
        let next =
            links.iter().find(|link| link.str_at("relation") == Some("next")).and_then(|link| link.str_at("url"));
        let Some(next) = next else { break };
        path = next[next.find("/sandbox").unwrap()..].to_owned();
    }
    assert_eq!(seen.len(), 3);
    assert_eq!(seen.iter().collect::<std::collections::BTreeSet<_>>().len(), 3);
    let page = bundle(&process, "/sandbox/fhir/Appointment?_include=*:patient");
    let patients = names(&page).into_iter().filter(|name| name.starts_with("Patient/")).count();
    assert_eq!((resources(&page).len(), patients), (4, 1));
    let reports = bundle(&process, "/sandbox/fhir/DiagnosticReport?_include=DiagnosticReport:result");
    assert_eq!(resources(&reports).len(), 3);
    let counted = bundle(&process, "/sandbox/fhir/Appointment?_summary=count");
    assert_eq!(counted.get("total").map(ToString::to_string).as_deref(), Some("3"));
}

#[test]
fn everything_of_a_patient_resolves() {
    let (_folder, process) = filled();
    let ann = resources(&bundle(&process, "/sandbox/fhir/Patient?given=ann"))[0].str_at("id").unwrap().to_owned();
    let all = bundle(&process, &format!("/sandbox/fhir/Patient/{ann}/$everything"));
    let found = names(&all);
    for (kind, wanted) in [
        ("Patient", 1),
        ("CareTeam", 2),
        ("Appointment", 3),
        ("DiagnosticReport", 1),
        ("Observation", 2),
        ("DocumentReference", 1),
        ("Organization", 3),
        ("Encounter", 0),
    ] {
        let prefix = format!("{kind}/");
        assert_eq!(found.iter().filter(|name| name.starts_with(&prefix)).count(), wanted, "{kind}");
    }
    let mut paged = Vec::new();
    let mut path = format!("/sandbox/fhir/Patient/{ann}/$everything?_count=3&_type=Appointment,Observation,Patient");
    loop {
        let page = bundle(&process, &path);
        paged.extend(names(&page).into_iter().filter(|name| !name.starts_with("Organization")));
        let links = page.get("link").and_then(Json::as_array).unwrap_or_default();
        let next =
            links.iter().find(|link| link.str_at("relation") == Some("next")).and_then(|link| link.str_at("url"));
        let Some(next) = next else { break };
        path = next[next.find("/sandbox").unwrap()..].to_owned();
    }
    assert_eq!(paged.len(), 6);
    // The document itself.
    let document =
        resources(&all).into_iter().find(|json| json.str_at("resourceType") == Some("DocumentReference")).unwrap();
    let url = document.str_at("content[0].attachment.url").unwrap();
    let raw = get(&process, &format!("/sandbox/fhir/{url}"));
    assert_eq!((raw.header("content-type"), &raw.body[..]), (Some("text/html"), &b"<b>Dear Ann</b>"[..]));
    assert_eq!(raw.header("content-disposition"), Some("attachment"));
    let binary =
        request(process.http, "GET", &format!("/sandbox/fhir/{url}"), "Accept: application/fhir+json\r\n", "").json();
    assert_eq!(fhir::check(&binary), []);
    assert_eq!(binary.str_at("data"), Some("PGI+RGVhciBBbm48L2I+"));
}

#[test]
fn a_deleted_document_is_gone_with_its_content() {
    let (_folder, process) = filled();
    let status = |path: &str| get(&process, &format!("/sandbox/fhir/{path}")).status;
    let mut sender = Sender::connect(process.pas).unwrap();
    let mut send = |event: &str, id: &str, rest: &str| {
        let message = header("PAS", event, id) + &pid("9434765919", "Müller^Ann", "19700101", "F") + rest;
        assert_eq!(code_of(&sender.send(message.as_bytes()).unwrap()), "AA");
    };
    let url = |number: &str| {
        let found = bundle(&process, &format!("/sandbox/fhir/DocumentReference?identifier={number}"));
        let document = resources(&found)[0];
        let url = document.str_at("content[0].attachment.url").unwrap().to_owned();
        (document.str_at("id").unwrap().to_owned(), url)
    };
    let (id, letter) = url("DOC1");
    // Another document of the same content keeps it alive.
    let same = |number: &str, text: &str| {
        format!("TXA|1|DS||20260101||||||||{number}|||||AU\rOBX|1|ED|1^Letter||^TEXT^HTML^A^{text}\r")
    };
    send("MDM^T02", "D1", &same("DOC2", "<b>Dear Ann</b>"));
    assert_eq!(url("DOC2").1, letter);
    send("MDM^T11", "D2", "TXA||||||||||||DOC1\r");
    assert_eq!((status(&format!("DocumentReference/{id}")), status(&letter)), (410, 200));
    assert_eq!(count(&process, "/sandbox/fhir/DocumentReference"), 1);
    // Until it gets a content of its own.
    send("MDM^T02", "D3", &same("DOC2", "<b>Dear all</b>").replace("20260101", "20260102"));
    let (other, all) = url("DOC2");
    assert_ne!(all, letter);
    assert_eq!((status(&letter), status(&all)), (404, 200));
    assert_eq!(status(&format!("DocumentReference/{other}/_history/1")), 200);
    // What is deleted is hidden with every version.
    for path in ["_history/1", "_history/2"] {
        assert_eq!(status(&format!("DocumentReference/{id}/{path}")), 410, "{path}");
    }
    for query in ["", "?_cursor=2", "?_count=1"] {
        let history = bundle(&process, &format!("/sandbox/fhir/DocumentReference/{id}/_history{query}"));
        assert_eq!(history.str_at("entry[0].request.method"), Some("DELETE"));
        assert_eq!((resources(&history).len(), history.at("entry[1]"), next(&history)), (0, None, None), "{query}");
        assert_eq!(history.get("total").map(ToString::to_string).as_deref(), Some("1"));
    }
    // And comes back with what is sent again.
    send("MDM^T02", "D4", &same("DOC1", "<b>Dear Ann</b>").replace("20260101", "20260103"));
    assert_eq!((status(&format!("DocumentReference/{id}")), status(&letter)), (200, 200));
}

#[test]
fn what_was_filed_for_the_wrong_patient_goes_to_the_right_one_without_its_history() {
    let (folder, mut process) = filled();
    let (ann, ben) = (pid("9434765919", "Müller^Ann", "19700101", "F"), pid("4444444444", "Mull^Ben", "19800229", "M"));
    let send = |process: &Process, event: &str, id: &str, rest: &str| {
        let ack = Sender::connect(process.pas).unwrap().send((header("PAS", event, id) + rest).as_bytes()).unwrap();
        code_of(&ack).to_owned()
    };
    let letter = |patient: &str| {
        format!("{patient}TXA|1|DS||20260101||||||||W1|||||AU\rOBX|1|ED|1^Letter||^TEXT^HTML^A^private\r")
    };
    let visit = |patient: &str| format!("{patient}PV1||I|^^^^^^^^Ward 2||||||||||||||||W2\r");
    assert_eq!(send(&process, "MDM^T02", "W1", &letter(&ann)), "AA");
    assert_eq!(send(&process, "ADT^A01", "W2", &visit(&ann)), "AA");
    let id_of = |process: &Process, path: &str| {
        let found = bundle(process, &format!("/sandbox/fhir/{path}"));
        resources(&found).first().map(|resource| resource.str_at("id").unwrap().to_owned())
    };
    let document = id_of(&process, "DocumentReference?identifier=W1").unwrap();
    let encounter = id_of(&process, "Encounter?identifier=W2").unwrap();
    // While it stands it is not taken from a record.
    assert_eq!(send(&process, "MDM^T02", "W3", &letter(&ben)), "AR");
    assert_eq!(send(&process, "ADT^A01", "W4", &visit(&ben)), "AR");
    assert_eq!(send(&process, "MDM^T11", "W5", &format!("{ann}TXA||||||||||||W1\r")), "AA");
    assert_eq!(send(&process, "ADT^A11", "W6", &visit(&ann)), "AA");
    // The refused messages once more, as they were.
    assert_eq!(send(&process, "MDM^T02", "W3", &letter(&ben)), "AA");
    assert_eq!(send(&process, "ADT^A01", "W4", &visit(&ben)), "AA");
    for _ in 0..2 {
        let (ann, ben) = (
            id_of(&process, "Patient?identifier=9434765919").unwrap(),
            id_of(&process, "Patient?identifier=4444444444").unwrap(),
        );
        for (kind, id) in [("DocumentReference", &document), ("Encounter", &encounter)] {
            let read = get(&process, &format!("/sandbox/fhir/{kind}/{id}")).json();
            assert_eq!(read.str_at("subject.reference").unwrap(), format!("Patient/{ben}"));
            let history = bundle(&process, &format!("/sandbox/fhir/{kind}/{id}/_history"));
            assert_eq!(resources(&history).len(), 1, "{history}");
            assert_eq!(history.get("total").map(ToString::to_string).as_deref(), Some("1"));
            assert_eq!(get(&process, &format!("/sandbox/fhir/{kind}/{id}/_history/1")).status, 404);
        }
        assert_eq!(id_of(&process, &format!("DocumentReference?identifier=W1&patient={ann}")), None);
        // The visit that was cancelled stays where it was, under an id of its own.
        let cancelled = id_of(&process, &format!("Encounter?identifier=W2&patient={ann}")).unwrap();
        let read = get(&process, &format!("/sandbox/fhir/Encounter/{cancelled}")).json();
        assert_eq!((read.str_at("status"), cancelled == encounter), (Some("cancelled"), false));
        bundle(&process, &format!("/sandbox/fhir/Patient/{ann}/$everything"));
        bundle(&process, &format!("/sandbox/fhir/Patient/{ben}/$everything"));
        process.kill();
        process = Process::start_with(folder.path(), |text| text.replace("\"test-range\"", "\"any\""));
    }
    // It goes on as any other.
    assert_eq!(send(&process, "MDM^T11", "W7", &format!("{ben}TXA||||||||||||W1\r")), "AA");
    assert_eq!(get(&process, &format!("/sandbox/fhir/DocumentReference/{document}")).status, 410);
    assert_eq!(send(&process, "MDM^T02", "W8", &letter(&ann)), "AA");
}

#[test]
fn errors_are_operation_outcomes_that_say_what_to_do() {
    let (_folder, process) = filled();
    let no_id = "00000000-0000-8000-8000-000000000000";
    for (path, status, word) in [
        ("/sandbox/fhir/Patient/nobody".to_owned(), 404, "no such Patient"),
        (format!("/sandbox/fhir/Patient/{no_id}"), 404, "no such Patient"),
        (format!("/sandbox/fhir/Patient/{no_id}/$everything"), 404, "no such Patient"),
        ("/sandbox/fhir/Medication".to_owned(), 404, "not served"),
        ("/staging/fhir/Patient".to_owned(), 404, "no such environment"),
        ("/sandbox/fhir/Patient?shoe-size=44".to_owned(), 400, "supported are"),
        ("/sandbox/fhir/Patient?birthdate=yesterday".to_owned(), 400, "birthdate"),
        ("/sandbox/fhir/Patient?_count=many".to_owned(), 400, "_count"),
        ("/sandbox/fhir/Patient?_format=xml".to_owned(), 406, "json"),
        ("/sandbox/fhir/Binary/xyz".to_owned(), 404, "no such Binary"),
        ("/sandbox/fhir/Appointment?_include=Patient:organization".to_owned(), 400, "_include"),
        ("/nowhere".to_owned(), 404, "start at /"),
    ] {
        let reply = get(&process, &path);
        let json = reply.json();
        assert_eq!(reply.status, status, "{path}");
        assert_eq!(fhir::check(&json), [], "{path}");
        let text = json.str_at("issue[0].diagnostics").unwrap();
        assert!(text.contains(word), "{path}: {text}");
        assert!(!text.contains("yesterday") && !text.contains("nobody"), "no values in errors");
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
    }
    let foreign = format!(
        "GET /sandbox/fhir/Patient HTTP/1.1\r\nHost: evil.example:{}\r\nConnection: close\r\n\r\n",
        process.http.port()
    );
    let mut stream = TcpStream::connect(process.http).unwrap();
    stream.write_all(foreign.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    assert_eq!(request(process.http, "DELETE", "/sandbox/fhir/Patient", "", "").status, 405);
    assert_eq!(request(process.http, "POST", "/sandbox/fhir/Patient", "", "{}").status, 405);
    assert_eq!(request(process.http, "GET", "/sandbox/fhir/Patient", "Accept: text/turtle\r\n", "").status, 406);
    let metadata = get(&process, "/sandbox/fhir/metadata").json();
    assert_eq!(fhir::check(&metadata), []);
    assert_eq!(metadata.str_at("fhirVersion"), Some("4.0.1"));
}

#[test]
fn health_metrics_and_the_status_page() {
    let (_folder, process) = filled();
    assert_eq!(get(&process, "/healthz").status, 200);
    assert_eq!(get(&process, "/readyz").status, 200);
    let metrics = String::from_utf8(get(&process, "/metrics").body).unwrap();
    for line in [
        "fairway_messages_total{environment=\"sandbox\",feed=\"appointments\",outcome=\"applied\",ack=\"AA\"} 4",
        "fairway_ack_seconds_count{environment=\"sandbox\"} 9",
        "fairway_connections_open{environment=\"sandbox\",listener=\"pas\"}",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    let page = String::from_utf8(get(&process, "/").body).unwrap();
    assert!(page.contains("SIU^S15") && page.contains("H4") && page.contains("pathology"));
    // Every message is on some page.
    let mut sender = Sender::connect(process.pas).unwrap();
    for number in 0..60 {
        let message = header("PAS", "SIU^S15", &format!("Q{number}")) + "PID|||9434765919^^^NHS^NH\rSCH|AP9\r";
        sender.send(message.as_bytes()).unwrap();
    }
    let (mut seen, mut pages, mut path) = (Vec::new(), 0, "/?environment=sandbox".to_owned());
    loop {
        let page = text(&process, &path);
        let numbers = page.split("<tr><td class=\"n\">").skip(1);
        seen.extend(numbers.map(|row| row[..row.find('<').unwrap()].parse::<i64>().unwrap()));
        pages += 1;
        let Some((_, link)) = page.split_once("&amp;before=") else { break };
        path = format!("/?environment=sandbox&before={}", &link[..link.find('"').unwrap()]);
    }
    assert_eq!((pages, seen), (2, (1..=69).rev().collect()));
    for query in ["before=x", "before=0", "environment=staging", "after=1", "before"] {
        assert_eq!(get(&process, &format!("/?{query}")).status, 400, "{query}");
    }
    for personal in ["Ann", "Müller", "9434765919", "19700101", "1970-01-01"] {
        assert!(
            !page.contains(personal) && !metrics.contains(personal) && !process.log().contains(personal),
            "{personal}"
        );
    }
}
