//! The FHIR API over a store made by hand: pages of many resources, large ones, searches that would take too long, the end.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use bytes::Bytes;
use fairway::config::Config;
use fairway::http::{App, Limits, RunningEnvironment, serve};
use fairway::store::{Driver, Entry, MessageKey, MessageRow, Reader, Scan, Sqlite, Store};
use fairway::telemetry::Metrics;
use fairway_care::Label;
use fairway_core::record::{Blob, Effects, Outcome, PointHead, ResourceId, Wanted};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::*;

/// A served store without a daemon around it.
pub(super) struct Served {
    pub(super) address: SocketAddr,
    ready: Arc<AtomicBool>,
    pub(super) stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
    runtime: Runtime,
    folder: tempfile::TempDir,
}

impl Served {
    /// Serves a sandbox in which each of these effects came by a message of its own.
    pub(super) fn new(batch: Vec<Effects>) -> Served {
        Served::with(batch, Limits::default())
    }

    /// The same, with limits of its own.
    pub(super) fn with(batch: Vec<Effects>, limits: Limits) -> Served {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sandbox.db");
        let mut store = Sqlite::open(&path).unwrap();
        store.load(&Wanted::default()).unwrap();
        let entries: Vec<Entry> =
            batch.into_iter().enumerate().map(|(number, effects)| message(number, effects)).collect();
        store.commit(&entries).unwrap();
        drop(store);
        let config = Config::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("config.example.toml")).unwrap();
        let running = RunningEnvironment { name: "sandbox", listeners: Vec::new(), reader: Reader::new(&path) };
        let (stop, stopping) = watch::channel(false);
        let ready = Arc::new(AtomicBool::new(true));
        let is_ready = ready.clone();
        let is_ready = move || is_ready.load(Ordering::Relaxed);
        let app = App::new(&config, &[running], Vec::new(), Arc::new(Metrics::new()), is_ready, stopping.clone());
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let serving = runtime.spawn(serve(listener, Arc::new(app), limits, stopping));
        Served { address, ready, stop, serving, runtime, folder }
    }

    pub(super) fn get(&self, path: &str) -> Reply {
        request(self.address, "GET", path, "", "")
    }

    /// Waits until the server has ended.
    pub(super) fn ended(self) {
        self.runtime.block_on(self.serving).unwrap();
    }

    fn reader(&self) -> Reader {
        Reader::new(&self.folder.path().join("sandbox.db"))
    }

    /// Every page from here, each with its length in bytes.
    fn pages(&self, path: &str) -> Vec<(Json, usize)> {
        let (mut all, mut path) = (Vec::new(), Some(path.to_owned()));
        while let Some(one) = path {
            let reply = self.get(&one);
            assert_eq!(reply.status, 200, "{one}: {}", String::from_utf8_lossy(&reply.body));
            path = next(&reply.json());
            all.push((reply.json(), reply.body.len()));
        }
        all
    }
}

/// Messages arrive a second apart from 2026-01-01.
fn message(number: usize, effects: Effects) -> Entry {
    let message = MessageRow {
        received_at: 1_767_225_600_000_000 + i64::try_from(number).unwrap() * 1_000_000,
        key: MessageKey { feed: "pathology".to_owned(), control_id: number.to_string(), digest: [0; 16] },
        peer: "127.0.0.1:1".to_owned(),
        kind: "ORU^R01".to_owned(),
        outcome: Outcome::Applied,
        ack_code: "AA",
        acks: Vec::new(),
        reason: None,
        record: None,
        repeat_of: None,
        raw: Bytes::from_static(b"MSH"),
    };
    Entry { message, effects, action: String::new() }
}

fn point(kind: &'static str, record: ResourceId, id: ResourceId, body: Json) -> Arc<PointHead> {
    Arc::new(PointHead {
        record,
        resource_type: kind,
        id,
        version: 1,
        entered_at: 0,
        label: Label::GeneralHealth,
        deleted: false,
        organisation: "RTST".into(),
        key: id.to_string(),
        group: None,
        body: Arc::new(body),
        replaces: None,
        items: Arc::new([]),
    })
}

fn record() -> ResourceId {
    ResourceId::derive(&["patient"])
}

fn patient() -> Arc<PointHead> {
    point("Patient", record(), record(), Json::object([("resourceType", Json::string("Patient"))]))
}

fn observation(number: usize, text: String) -> Arc<PointHead> {
    let code = Json::object([("text", Json::string("Test"))]);
    let subject = Json::object([("reference", Json::string(format!("Patient/{}", record())))]);
    let body = Json::object([
        ("resourceType", Json::string("Observation")),
        ("status", Json::string("final")),
        ("code", code),
        ("subject", subject),
        ("effectiveDateTime", Json::string("2026-01-01")),
        ("valueString", Json::string(text)),
    ]);
    point("Observation", record(), ResourceId::derive(&["observation", &number.to_string()]), body)
}

fn of(points: Vec<Arc<PointHead>>) -> Effects {
    Effects { points, ..Effects::default() }
}

#[test]
fn a_page_ends_before_it_grows_too_large() {
    let large = "x".repeat(9 * 1024 * 1024);
    let mut effects = vec![of(vec![patient()])];
    effects.extend((0..6).map(|number| of(vec![observation(number, large.clone())])));
    let served = Served::new(effects);
    for path in [
        "/sandbox/fhir/Observation?_count=100".to_owned(),
        format!("/sandbox/fhir/Observation?patient={}&_include=*:patient", record()),
        format!("/sandbox/fhir/Patient/{}/$everything?_type=Observation", record()),
    ] {
        let pages = served.pages(&path);
        let sizes: Vec<usize> = pages.iter().map(|(_, bytes)| *bytes).collect();
        assert_eq!(pages.len(), 2, "{path} {sizes:?}");
        assert!(sizes.iter().all(|bytes| *bytes < 45 * 1024 * 1024), "{path} {sizes:?}");
        let all: Vec<String> = pages.iter().flat_map(|(page, _)| names(page)).collect();
        assert_eq!(all.iter().filter(|name| name.starts_with("Observation/")).count(), 6, "{path}");
    }
    // What is included has its limit too, and is never left out silently.
    let result = |number: usize| {
        let id = ResourceId::derive(&["observation", &number.to_string()]);
        Json::object([("reference", Json::string(format!("Observation/{id}")))])
    };
    let report = Json::object([
        ("resourceType", Json::string("DiagnosticReport")),
        ("status", Json::string("final")),
        ("code", Json::object([("text", Json::string("Panel"))])),
        ("result", Json::Array((0..6).map(result).collect())),
    ]);
    let mut effects: Vec<Effects> = (0..6).map(|number| of(vec![observation(number, large.clone())])).collect();
    effects.push(of(vec![point("DiagnosticReport", record(), ResourceId::derive(&["report"]), report)]));
    let served = Served::new(effects);
    let reply = served.get("/sandbox/fhir/DiagnosticReport?_include=DiagnosticReport:result");
    assert_eq!((reply.status, reply.json().str_at("issue[0].code")), (400, Some("too-costly")));
}

/// One of many Patients of one family: of a given name of its own, and born on a day that one in a thousand shares.
fn one_of_many(number: usize) -> Arc<PointHead> {
    let id = ResourceId::derive(&["patient", &number.to_string()]);
    let name = Json::object([
        ("family", Json::string("Example")),
        ("given", Json::Array(vec![Json::string(format!("G{number:05}"))])),
    ]);
    let born = number % 1000;
    let body = Json::object([
        ("resourceType", Json::string("Patient")),
        ("name", Json::Array(vec![name])),
        ("gender", Json::string(if number.is_multiple_of(2) { "male" } else { "female" })),
        ("birthDate", Json::string(format!("{:04}-01-{:02}", 1900 + born / 10, 1 + born % 10))),
    ]);
    point("Patient", id, id, body)
}

#[test]
fn a_search_of_many_is_led_by_its_narrowest_parameter_and_goes_on_by_pages() {
    const MANY: usize = 50_020;
    let mut effects = vec![of(vec![observation(1, "x".to_owned())])];
    effects.extend((0..10).map(|tenth| {
        let numbers = (0..MANY).filter(|number| number % 10 == tenth);
        of(numbers.map(one_of_many).collect())
    }));
    let served = Served::new(effects);
    let total = |path: &str| {
        let json = served.get(&format!("/sandbox/fhir/{path}")).json();
        (names(&json).len(), json.get("total").map(ToString::to_string), next(&json).is_some())
    };
    let whole = |count: usize| (count, Some(count.to_string()), false);
    // Whatever the order, and whatever else is asked for, in one answer.
    let filters = ["family=example", "given=g01052", "birthdate=1905-01-03", "gender=male", "_lastUpdated=ge2020"];
    for turn in 0..filters.len() {
        let mut filters = filters;
        filters.rotate_left(turn);
        assert_eq!(total(&format!("Patient?{}", filters.join("&"))), whole(1), "{filters:?}");
    }
    for (path, count) in [
        ("Patient?family=example&given:exact=G01052", 1),
        ("Patient?family:exact=Example&given=G0105", 10),
        ("Patient?birthdate=ge1905-01-03&birthdate=lt1905-01-04&gender=male&_count=90", 50),
        ("Patient?birthdate=1905-01&gender=male&given=G01", 5),
        ("Patient?family=example&birthdate=gt1999-01-09&_count=90", 50),
        ("Patient?_lastUpdated=lt2020", 0),
        ("Patient?_lastUpdated=lt2020&family=example", 0),
        ("Patient?family=nobody&gender=female", 0),
        ("Patient?identifier=nobody&gender=female", 0),
        ("Observation?value-string=x&patient.identifier=nobody", 0),
        ("Patient?_id=nobody&family=example", 0),
    ] {
        assert_eq!(total(path), whole(count), "{path}");
    }
    // What no index answers is looked for on page after page, the last of which may be empty.
    let pages = served.pages("/sandbox/fhir/Patient?address-city=nowhere&family=example");
    assert_eq!((pages.len(), pages.iter().map(|(page, _)| names(page).len()).sum::<usize>()), (2, 0));
    assert!(pages.iter().all(|(page, _)| fhir::check(page).is_empty() && page.get("total").is_none()));
    let pages = served.pages("/sandbox/fhir/Patient?name=g50019");
    assert_eq!(pages.iter().map(|(page, _)| names(page).len()).collect::<Vec<_>>(), [0, 1]);
    // Totals are of all pages.
    let many = Some(MANY.to_string());
    for query in ["_count=0", "_summary=count", "_summary=count&family=example", "_total=accurate&_summary=count"] {
        assert_eq!(total(&format!("Patient?{query}")), (0, many.clone(), false), "{query}");
    }
    assert_eq!(total("Patient?_total=accurate&_count=2"), (2, many.clone(), true));
    assert_eq!(total("Patient?_total=estimate&_count=2&_cursor=9&gender=female").1, Some((MANY / 2).to_string()));
    assert_eq!(total("Patient?_total=none&_count=2"), (2, None, true));
    // The last tenth came ten seconds after the first message.
    let late = "Patient?_lastUpdated=ge2026-01-01T00:00:10Z";
    assert_eq!(total(&format!("{late}&_summary=count")).1, Some("5002".to_owned()));
    let all = served.pages(&format!("/sandbox/fhir/{late}&_count=1000"));
    let seen: std::collections::BTreeSet<String> = all.iter().flat_map(|(page, _)| names(page)).collect();
    assert_eq!((all.len(), seen.len()), (6, 5002));
    // Little of a type, long ago, beside much of another.
    let found = served.get("/sandbox/fhir/Observation?_lastUpdated=le2026-01-01T00:00:00Z&_lastUpdated=ge2020").json();
    assert_eq!(names(&found).len(), 1);
    let found = served.get("/sandbox/fhir/Patient?_lastUpdated=ge2020&_count=2").json();
    let by_number = next(&found).unwrap();
    assert!(by_number.ends_with("&_cursor=3"), "{by_number}");
    let after = names(&served.get(&by_number).json());
    assert!(after.len() == 2 && after.iter().all(|name| !names(&found).contains(name)));
    // What is found soon is shown whatever the type holds, and every page goes on behind the one before.
    let (mut seen, mut path) = (Vec::new(), "/sandbox/fhir/Patient?_count=1000&gender=female".to_owned());
    for _ in 0..3 {
        let page = served.get(&path).json();
        seen.extend(names(&page));
        assert_eq!(page.get("total"), None);
        path = next(&page).unwrap();
    }
    assert_eq!(seen.iter().collect::<std::collections::BTreeSet<_>>().len(), 3000);
    // The store is asked for no more than is taken.
    let (scan, mut given) = (Scan { resource_type: "Patient", driver: Driver::All, after: 0, limit: usize::MAX }, 0);
    let visited = served.reader().visit(&scan, |_| {
        given += 1;
        if given < 7 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    assert!(visited.is_ok() && given == 7);
}

#[test]
fn what_is_deleted_is_not_included() {
    let mut gone = (*patient()).clone();
    (gone.version, gone.deleted) = (2, true);
    let served =
        Served::new(vec![of(vec![patient()]), of(vec![observation(1, "x".to_owned())]), of(vec![Arc::new(gone)])]);
    let page = served.get("/sandbox/fhir/Observation?_include=*:patient").json();
    assert_eq!(names(&page).len(), 1);
    let id = record();
    assert_eq!(served.get(&format!("/sandbox/fhir/Patient/{id}")).status, 410);
    assert_eq!(served.get(&format!("/sandbox/fhir/Patient/{id}/$everything")).status, 410);
    assert_eq!(served.get(&format!("/sandbox/fhir/Patient/{id}/_history/2")).status, 410);
    assert_eq!(served.get(&format!("/sandbox/fhir/Patient/{id}/_history/1")).status, 410);
    let history = served.get(&format!("/sandbox/fhir/Patient/{id}/_history")).json();
    assert_eq!(fhir::check(&history), []);
    assert_eq!(history.str_at("entry[0].request.method"), Some("DELETE"));
    assert_eq!(served.get("/production/fhir/Patient").status, 404, "only what runs is served");
}

/// A document with this content; gives its address, too.
pub(super) fn document(content_type: &'static str, bytes: Bytes) -> (Effects, String) {
    let id = "a".repeat(64);
    let path = format!("/sandbox/fhir/Binary/{id}");
    let attachment = Json::object([("url", Json::string(format!("Binary/{id}")))]);
    let content = Json::object([("attachment", attachment)]);
    let body = Json::object([
        ("resourceType", Json::string("DocumentReference")),
        ("status", Json::string("current")),
        ("content", Json::Array(vec![content])),
    ]);
    let points = vec![point("DocumentReference", record(), ResourceId::derive(&["document"]), body)];
    let blobs = vec![Blob { id, content_type: content_type.into(), bytes }];
    (Effects { points, blobs, ..Effects::default() }, path)
}

#[test]
fn every_identifier_finds_its_resource() {
    let report = |values: &[&str]| {
        let identifiers = values.iter().map(|value| Json::object([("value", Json::string(*value))]));
        Json::object([
            ("resourceType", Json::string("DiagnosticReport")),
            ("status", Json::string("final")),
            ("identifier", Json::Array(identifiers.collect())),
        ])
    };
    let id = ResourceId::derive(&["report"]);
    let first = point("DiagnosticReport", record(), id, report(&["A", "B", "C", "A"]));
    let mut second = (*point("DiagnosticReport", record(), id, report(&["A", "C", "D"]))).clone();
    (second.version, second.replaces) = (2, Some(first.body.clone()));
    let other = point("Observation", record(), ResourceId::derive(&["other"]), report(&["X", "C"]));
    let document = Json::object([
        ("resourceType", Json::string("DocumentReference")),
        ("masterIdentifier", Json::object([("value", Json::string("M"))])),
        ("identifier", Json::Array(vec![Json::object([("value", Json::string("N"))])])),
    ]);
    let document = point("DocumentReference", record(), ResourceId::derive(&["document"]), document);
    let served = Served::new(vec![of(vec![first, other, document]), of(vec![Arc::new(second)])]);
    for (path, found) in [
        ("DiagnosticReport?identifier=A", 1),
        ("DiagnosticReport?identifier=B", 0),
        ("DiagnosticReport?identifier=C", 1),
        ("DiagnosticReport?identifier=D", 1),
        ("DiagnosticReport?identifier=A,C,D", 1),
        ("Observation?identifier=C", 1),
        ("DocumentReference?identifier=M", 1),
        ("DocumentReference?identifier=N", 1),
    ] {
        assert_eq!(names(&served.get(&format!("/sandbox/fhir/{path}")).json()).len(), found, "{path}");
    }
    // Candidates are led to, not looked for.
    let candidates = |value: &str| {
        let driver = Driver::Identifiers(vec![value.to_owned()]);
        served.reader().scan(&Scan { resource_type: "DiagnosticReport", driver, after: 0, limit: 9 }).unwrap().len()
    };
    assert_eq!((candidates("B"), candidates("D"), candidates("X")), (0, 1, 0), "nor kept when they go");
}

#[test]
fn a_document_of_any_type_is_data_to_a_browser() {
    let (effects, path) = document("text/html", Bytes::from_static(b"<script>1</script>"));
    let served = Served::new(vec![effects]);
    let reply = served.get(&path);
    assert_eq!(&reply.body[..], b"<script>1</script>");
    assert_eq!(reply.header("content-disposition"), Some("attachment"));
    assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
    let policy = reply.header("content-security-policy").unwrap();
    for word in ["default-src 'none'", "frame-ancestors 'none'", "sandbox"] {
        assert!(policy.contains(word), "{policy}");
    }
}

#[test]
fn readiness_is_told_and_the_end_is_bounded() {
    let served = Served::new(Vec::new());
    assert_eq!(served.get("/readyz").status, 200);
    served.ready.store(false, Ordering::Relaxed);
    assert_eq!((served.get("/readyz").status, served.get("/healthz").status), (503, 200));
    // A client that never ends its request does not hold up the end.
    let mut dribbling = TcpStream::connect(served.address).unwrap();
    dribbling.write_all(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX").unwrap();
    std::thread::sleep(Duration::from_millis(50));
    let begun = Instant::now();
    served.stop.send_replace(true);
    served.ended();
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}
