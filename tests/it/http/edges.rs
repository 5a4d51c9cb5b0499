//! The edges of the FHIR API: what must be refused rather than ignored, and what must be found although it is unusual.

use super::*;

const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";

/// The status of an answer that must be an OperationOutcome, with its text.
fn refusal(reply: &Reply) -> (u16, String) {
    let json = reply.json();
    assert_eq!(fhir::check(&json), []);
    assert_eq!(json.str_at("resourceType"), Some("OperationOutcome"), "{}", reply.head);
    (reply.status, json.str_at("issue[0].diagnostics").unwrap().to_owned())
}

fn id_of(process: &Process, path: &str) -> String {
    resources(&bundle(process, path))[0].str_at("id").unwrap().to_owned()
}

#[test]
fn a_form_is_read_whole_or_refused() {
    let (_folder, process) = filled();
    let post =
        |headers: &str, body: &str| request(process.http, "POST", "/sandbox/fhir/Patient/_search", headers, body);
    // A body that no address could hold is still a filter.
    for (body, found) in
        [("given=Ann Mary", 0), ("family=Müller", 1), ("given=ann&family=müller", 1), ("given=<ann>", 0)]
    {
        let reply = post(FORM, body);
        assert_eq!((reply.status, names(&reply.json()).len()), (200, found), "{body}");
    }
    assert_eq!(refusal(&post(FORM, "{\"given\":\"ann\"}")).0, 400);
    assert_eq!(refusal(&post("Content-Type: application/json\r\n", "{\"given\":\"ann\"}")).0, 415);
    assert_eq!(refusal(&post("", "given=ann")).0, 415);
    assert_eq!(names(&post("", "").json()).len(), 2, "nothing asked for is everything");
    assert_eq!(refusal(&post(FORM, &format!("given={}", "a".repeat(80_000)))).0, 413);
    assert_eq!(refusal(&post(FORM, &"given=a&".repeat(200))).0, 400);
}

#[test]
fn filters_are_never_ignored() {
    let (_folder, process) = filled();
    for path in [
        format!("Appointment?patient.identifier:not={NHS}|9434765919"),
        "Appointment?_count:exact=1".to_owned(),
        "Appointment?patient.identifier=".to_owned(),
        format!("Appointment?patient.identifier={NHS}|"),
        format!("Appointment?patient.identifier={}", "1,".repeat(300) + "1"),
        "Patient?_sort=family".to_owned(),
        "Patient?_summary=text".to_owned(),
        "Patient?_cursor=-1".to_owned(),
        "Organization?_lastUpdated=ge2020".to_owned(),
        "Patient?family=%5C".to_owned(),
        "Patient?_include=*:patient".to_owned(),
        "Appointment?_include=Appointment:subject".to_owned(),
        "Appointment?_include=Appointment:patient:Group".to_owned(),
        "Patient?_count=1&_count=2".to_owned(),
        "Patient?_total=exact".to_owned(),
        "Patient?family=%ff".to_owned(),
        "Patient?family=%zz".to_owned(),
        "Patient?family=100%".to_owned(),
        "Patient?gender=http://x|female".to_owned(),
        "Patient?gender:not=female,http://x|male".to_owned(),
        "Patient?active=http://x|true".to_owned(),
        "Patient?_id=http://x|1".to_owned(),
        "Appointment?status=http://x|booked".to_owned(),
    ] {
        assert_eq!(refusal(&get(&process, &format!("/sandbox/fhir/{path}"))).0, 400, "{path}");
    }
    let twice = request(process.http, "POST", "/sandbox/fhir/Patient/_search?_count=1", FORM, "_count=2");
    assert_eq!(refusal(&twice).0, 400);
    // Also where no resource is there that would show the fault.
    for path in ["Patient?birthdate=yesterday", "Patient?family=", "Patient?family:above=x", "Encounter?date=zz2020"] {
        assert_eq!(refusal(&get(&process, &format!("/production/fhir/{path}"))).0, 400, "{path}");
    }
    let ann = id_of(&process, "/sandbox/fhir/Patient?given=ann");
    let appointment = id_of(&process, "/sandbox/fhir/Appointment?identifier=AP2");
    for path in [
        format!("Patient/{ann}/$everything?_type=Appointment,Medication"),
        format!("Patient/{ann}/$everything?start=2020"),
        format!("Appointment/{appointment}/_history?_since=2020-01-01"),
    ] {
        assert_eq!(refusal(&get(&process, &format!("/sandbox/fhir/{path}"))).0, 400, "{path}");
    }
}

#[test]
fn unusual_values_are_found() {
    let (_folder, process) = filled();
    let ann = id_of(&process, "/sandbox/fhir/Patient?given=ann");
    let found = |path: &str| count(&process, &format!("/sandbox/fhir/{path}"));
    assert_eq!(found(&format!("Patient?identifier={NHS}|")), 2, "any identifier of a system");
    assert_eq!(found(&format!("Patient?identifier={NHS}|9434765919,{NHS}|4444444444")), 2);
    assert_eq!(found("Patient?identifier=|9434765919"), 0, "without a system");
    assert_eq!(found("Patient?family:exact=M%C3%BCller"), 1);
    assert_eq!(found("Patient?family=mull,xyz"), 2);
    assert_eq!(found("Patient?family=m%5C%5Cull"), 0);
    assert_eq!(found("Patient?gender=http://hl7.org/fhir/administrative-gender|female"), 1);
    assert_eq!(found("Patient?gender=|female"), 1);
    assert_eq!(found("Appointment?status=http://hl7.org/fhir/appointmentstatus|booked"), 2);
    assert_eq!(found("Encounter?class=http://terminology.hl7.org/CodeSystem/v3-ActCode|IMP"), 1);
    assert_eq!(found("Patient?birthdate=1980"), 1);
    assert_eq!(found("Patient?birthdate=eq1980-02-29"), 1);
    assert_eq!(found("Patient?birthdate=ge1970&birthdate=lt1980"), 1);
    let base = format!("http://{}/sandbox/fhir", process.http);
    assert_eq!(found(&format!("Appointment?patient={base}/Patient/{ann}")), 3, "as fullUrl says it");
    assert_eq!(found(&format!("Appointment?patient=http://elsewhere.example/fhir/Patient/{ann}")), 0);
    assert_eq!(found(&format!("Observation?subject:Patient.identifier={NHS}|9434765919")), 2);
    assert_eq!(found(&format!("Observation?patient:identifier={NHS}|9434765919")), 2);
    assert_eq!(found("Observation?patient.identifier=9434765919,4444444444"), 2);
    assert_eq!(found("Appointment?date=ge2026-03-04&date=le2026-03-04&date=ne2026-03-03"), 1);
    assert_eq!(found("Appointment?_lastUpdated=ge2020-01-01&_lastUpdated=ge2021-01-01T00:00:00%2B01:00"), 3);
    // A discharge alone tells an end without a start.
    let message = header("PAS", "ADT^A03", "X1")
        + &pid("9434765919", "Müller^Ann", "19700101", "F")
        + "PV1||I|^^^^^^^^Ward 1|||||||710|||||||||V9||||||||||||||||||||||||||202601050800\r";
    assert_eq!(code_of(&Sender::connect(process.pas).unwrap().send(message.as_bytes()).unwrap()), "AA");
    let visit = id_of(&process, "/sandbox/fhir/Encounter?identifier=V9");
    let json = get(&process, &format!("/sandbox/fhir/Encounter/{visit}")).json();
    assert_eq!((json.at("period.start"), json.at("period.end").is_some()), (None, true));
    assert_eq!(found("Encounter?date=le2026-01-31&identifier=V9"), 1);
    assert_eq!(found(&format!("Encounter?date=le2026-01-31&_id={visit}")), 1);
    let open = bundle(&process, "/sandbox/fhir/Encounter?date=le2026-01-31");
    assert!(names(&open).contains(&format!("Encounter/{visit}")), "by date alone");
}

#[test]
fn a_lenient_client_gets_what_is_known_and_is_told() {
    let (_folder, process) = filled();
    let ask = |method: &str, path: &str, headers: &str, body: &str| {
        request(process.http, method, &format!("/sandbox/fhir/{path}"), &format!("Prefer: {headers}\r\n"), body)
    };
    let query = "given=ann&_sort=family&shoe-size=44";
    let reply = ask("GET", &format!("Patient?{query}"), "return=minimal, handling=lenient", "");
    let json = reply.json();
    assert_eq!((reply.status, names(&json).len()), (200, 1));
    assert!(json.str_at("link[0].url").unwrap().ends_with("/Patient?given=ann"), "{json}");
    let lenient = format!("handling=lenient\r\n{}", FORM.trim_end());
    assert_eq!(names(&ask("POST", "Patient/_search", &lenient, query).json()).len(), 1);
    assert_eq!(refusal(&ask("GET", &format!("Patient?{query}"), "handling=strict", "")).0, 400);
    // What is known and wrong is refused all the same.
    for path in
        ["Patient?birthdate=yesterday", "Patient?family:foo=x", "Patient?_count=many", "Patient?_count=1&_count=2"]
    {
        assert_eq!(refusal(&ask("GET", path, "handling=lenient", "")).0, 400, "{path}");
    }
    assert!(names(&ask("GET", "Organization?_sort=name", "handling=lenient", "").json()).len() >= 3);
}

#[test]
fn small_things_as_fhir_has_them() {
    let (_folder, process) = filled();
    assert_eq!(count(&process, "/sandbox/fhir/Patient?_count=99999999999999999999999"), 2, "at most what we give");
    for value in ["", "-1", "%2B1", "1.5"] {
        assert_eq!(refusal(&get(&process, &format!("/sandbox/fhir/Patient?_count={value}"))).0, 400, "{value}");
    }
    let id = id_of(&process, "/sandbox/fhir/Patient?given=ann");
    assert_eq!(refusal(&get(&process, &format!("/sandbox/fhir/Patient/{}", id.to_uppercase()))).0, 404);
    assert_eq!(count(&process, "/sandbox/fhir/Appointment?_include=Appointment:patient:Patient"), 4);
    let head = request(process.http, "HEAD", &format!("/sandbox/fhir/Patient/{id}"), "", "");
    let whole = get(&process, &format!("/sandbox/fhir/Patient/{id}"));
    for name in ["content-length", "etag", "content-type", "last-modified"] {
        assert_eq!(head.header(name), whole.header(name), "{name}");
    }
}

#[test]
fn versions_come_by_pages_and_one_by_one() {
    let (_folder, process) = filled();
    let mut sender = Sender::connect(process.pas).unwrap();
    for minute in 10..17 {
        let message = header("PAS", "SIU^S13", &format!("V{minute}"))
            + &pid("9434765919", "Müller^Ann", "19700101", "F")
            + &format!("SCH|AP0||||||^Check up||||^^^2026030309{minute}^202603031000\rPV1|||^^^^^^^^Clinic\r");
        assert_eq!(code_of(&sender.send(message.as_bytes()).unwrap()), "AA");
    }
    let id = id_of(&process, "/sandbox/fhir/Appointment?identifier=AP0");
    let (mut seen, mut pages) = (Vec::new(), 0);
    let mut path = format!("/sandbox/fhir/Appointment/{id}/_history?_count=3");
    loop {
        let page = bundle(&process, &path);
        assert_eq!(fhir::check_bundle(&page).iter().find(|issue| !issue.message.contains("resolve")), None);
        assert_eq!(page.get("total").map(ToString::to_string).as_deref(), Some("8"));
        seen.extend(resources(&page).iter().map(|json| json.str_at("meta.versionId").unwrap().to_owned()));
        pages += 1;
        let Some(next) = next(&page) else { break };
        path = next;
    }
    assert_eq!((pages, seen.join(" ").as_str()), (3, "8 7 6 5 4 3 2 1"));
    for (held, status) in [("W/\"8\"", 304), ("\"8\"", 304), ("*", 304), ("W/\"7\"", 200), ("W/\"1\", W/\"8\"", 304)] {
        let headers = format!("If-None-Match: {held}\r\n");
        let reply = request(process.http, "GET", &format!("/sandbox/fhir/Appointment/{id}"), &headers, "");
        assert_eq!(reply.status, status, "{held}");
    }
    assert_eq!(
        get(&process, &format!("/sandbox/fhir/Appointment/{id}/_history/1")).json().str_at("meta.versionId"),
        Some("1")
    );
    for version in ["0", "9", "x", "-1"] {
        assert_eq!(refusal(&get(&process, &format!("/sandbox/fhir/Appointment/{id}/_history/{version}"))).0, 404);
    }
}

#[test]
fn a_document_comes_in_the_form_asked_for() {
    let (_folder, process) = filled();
    let found = bundle(&process, "/sandbox/fhir/DocumentReference");
    let url = resources(&found)[0].str_at("content[0].attachment.url").unwrap().to_owned();
    let asked = |query: &str, accept: &str| {
        let headers = if accept.is_empty() { String::new() } else { format!("Accept: {accept}\r\n") };
        request(process.http, "GET", &format!("/sandbox/fhir/{url}{query}"), &headers, "")
    };
    for accept in ["", "*/*", "text/*", "text/html", "image/png, text/html;q=0.5", "application/fhir+json;q=0, */*"] {
        assert_eq!(asked("", accept).header("content-type"), Some("text/html"), "{accept}");
    }
    for (query, accept) in
        [("?_format=json", ""), ("", "application/json"), ("", "application/fhir+json; fhirVersion=4.0")]
    {
        assert_eq!(asked(query, accept).json().resource_type(), Some("Binary"), "{query} {accept}");
    }
    assert_eq!(refusal(&asked("", "image/png")).0, 406);
    assert_eq!(refusal(&asked("?_format=xml", "")).0, 406);
    let (status, text) = refusal(&get(&process, "/sandbox/fhir/Binary"));
    assert!(status == 404 && text.contains("read by id"), "{text}");
}

#[test]
fn forms_of_json_are_told_apart() {
    let (_folder, process) = filled();
    for (accept, status) in [
        ("application/json", 200),
        ("application/fhir+json;fhirVersion=4.0", 200),
        ("text/html, */*;q=0.1", 200),
        ("application/fhir+json; fhirVersion=5.0", 406),
        ("application/ld+json", 406),
        ("application/fhir+xml", 406),
        ("application/fhir+json;q=0, application/fhir+xml", 406),
    ] {
        let reply = request(process.http, "GET", "/sandbox/fhir/Patient", &format!("Accept: {accept}\r\n"), "");
        assert_eq!(reply.status, status, "{accept}");
    }
    assert_eq!(get(&process, "/sandbox/fhir/Patient?_format=application/fhir%2Bjson").status, 200);
    assert_eq!(get(&process, "/sandbox/fhir/Patient?_format=application/fhir+json").status, 200);
    let head = request(process.http, "HEAD", "/sandbox/fhir/Patient", "", "");
    assert_eq!((head.status, head.body.len()), (200, 0));
}

#[test]
fn what_the_router_refuses_is_an_outcome_too() {
    let (_folder, process) = filled();
    assert_eq!(refusal(&get(&process, "/sandbox/fhir/Patient/%FF")).0, 400);
    for (method, path, allowed) in [
        ("DELETE", "/sandbox/fhir/Patient", "GET"),
        ("PUT", "/sandbox/fhir/Patient/1", "GET"),
        ("GET", "/sandbox/fhir/Patient/_search", "POST"),
    ] {
        let reply = request(process.http, method, path, "", "");
        assert_eq!(refusal(&reply).0, 405);
        assert!(reply.header("allow").is_some_and(|allow| allow.contains(allowed)), "{}", reply.head);
    }
    let organization = id_of(&process, "/sandbox/fhir/Organization");
    let (status, text) = refusal(&get(&process, &format!("/sandbox/fhir/Organization/{organization}/_history")));
    assert!(status == 404 && text.contains("versions"), "{text}");
}

#[test]
fn organizations_have_versions_and_pages() {
    let (_folder, process) = filled();
    let all = names(&bundle(&process, "/sandbox/fhir/Organization"));
    assert!(all.len() >= 3);
    let first = bundle(&process, "/sandbox/fhir/Organization?_count=2");
    assert_eq!((resources(&first).len(), first.get("total")), (2, None));
    assert_eq!(resources(&first)[0].str_at("meta.versionId"), Some("1"));
    let (mut seen, mut path) = (Vec::new(), Some("/sandbox/fhir/Organization?_count=2".to_owned()));
    while let Some(one) = path {
        let page = bundle(&process, &one);
        seen.extend(names(&page));
        path = next(&page);
    }
    assert_eq!(seen, all);
    let read = get(&process, &format!("/sandbox/fhir/{}", all[0])).json();
    assert_eq!((fhir::check(&read), read.str_at("meta.versionId")), (Vec::new(), Some("1")));
    assert_eq!(count(&process, "/sandbox/fhir/Organization?active=true&_id=nothing"), 0);
}

#[test]
fn everything_stands_alone() {
    let (_folder, process) = filled();
    let ann = id_of(&process, "/sandbox/fhir/Patient?given=ann");
    let all = bundle(&process, &format!("/sandbox/fhir/Patient/{ann}/$everything"));
    assert_eq!(fhir::check_bundle(&all), [], "every reference leads to an entry");
    let some = |query: &str| count(&process, &format!("/sandbox/fhir/Patient/{ann}/$everything?{query}"));
    assert_eq!(some("_since=2999-01-01T00:00:00+01:00"), 0);
    assert!(some("_since=2020-01-01T00:00:00+01:00") > 8);
    assert_eq!(some("_type=Appointment,Observation"), 5, "only what was asked for");
    assert!(some("_type=Organization,CareTeam") > 2);
}
