//! Properties of decisions: batches, refusals, order, and the elements a change sets.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use fairway_care::{Label, LabelSet, Organisation, Team, TeamKind, TeamRequest};
use proptest::prelude::*;

use super::*;
use crate::fhir::Json;

fn step(name: &'static str, many: bool, index: Option<usize>) -> Step {
    Step { name, many, index, choice: None }
}

fn assign(path: Vec<Step>, value: Option<Json>) -> Assignment {
    Assignment { path: path.into(), value, is_default: false }
}

fn json(text: &str) -> Json {
    Json::parse(text.as_bytes()).unwrap()
}

fn applied(assignments: &[Assignment], before: &str) -> String {
    let mut resource = json(before);
    apply(assignments, &mut resource, &[]);
    resource.to_string()
}

#[test]
fn elements_are_set_kept_and_removed() {
    let family = |value: Option<&str>| {
        assign(vec![step("name", true, None), step("family", false, None)], value.map(Json::string))
    };
    let second = assign(vec![step("name", true, None), step("given", true, Some(1))], Some(Json::string("Kim")));
    assert_eq!(applied(&[family(Some("A"))], "{}"), r#"{"name":[{"family":"A"}]}"#);
    let held = r#"{"name":[{"family":"A","given":["Pat"]}]}"#;
    assert_eq!(applied(std::slice::from_ref(&second), held), r#"{"name":[{"family":"A","given":["Pat","Kim"]}]}"#);
    assert_eq!(applied(&[second], "{}"), r#"{"name":[{"given":["Kim"]}]}"#);
    assert_eq!(applied(&[family(None)], held), r#"{"name":[{"given":["Pat"]}]}"#);
    assert_eq!(applied(&[family(None)], r#"{"name":[{"family":"A"}],"x":1}"#), r#"{"x":1}"#);
    assert_eq!(applied(&[family(None)], "{}"), "{}");
    let mut default = family(Some("B"));
    default.is_default = true;
    assert_eq!(applied(&[default.clone()], held), held);
    assert_eq!(applied(&[default], "{}"), r#"{"name":[{"family":"B"}]}"#);
    let dead = Assignment {
        path: Arc::new([Step { choice: Some("deceased"), ..step("deceasedBoolean", false, None) }]),
        value: Some(Json::Bool(false)),
        is_default: false,
    };
    assert_eq!(applied(&[dead], r#"{"deceasedDateTime":"2026"}"#), r#"{"deceasedBoolean":false}"#);
}

#[test]
fn items_with_an_id_stay_until_replaced_and_others_go_together() {
    let path = vec![step("participant", true, None)];
    let new = json(r#"[{"id":"patient"},{"name":"B"}]"#);
    let held = r#"{"participant":[{"id":"patient"},{"id":"place","at":"x"},{"name":"A"}]}"#;
    let set = assign(path.clone(), Some(new));
    assert_eq!(applied(&[set], held), r#"{"participant":[{"id":"patient"},{"name":"B"},{"id":"place","at":"x"}]}"#);
    let set = assign(path, Some(json(r#"[{"id":"home.1","v":3}]"#)));
    let held = r#"{"participant":[{"id":"home.1","v":1},{"id":"home.2","v":2},{"id":"work.1","v":9}]}"#;
    assert_eq!(applied(&[set], held), r#"{"participant":[{"id":"home.1","v":3},{"id":"work.1","v":9}]}"#);
}

#[test]
fn true_takes_no_known_time_away() {
    let dead = |value| Assignment {
        path: Arc::new([Step { choice: Some("deceased"), ..step("deceasedBoolean", false, None) }]),
        value: Some(Json::Bool(value)),
        is_default: false,
    };
    let known = r#"{"deceasedDateTime":"2026"}"#;
    assert_eq!(applied(&[dead(true)], known), known);
    assert_eq!(applied(&[dead(true)], r#"{"deceasedBoolean":false}"#), r#"{"deceasedBoolean":true}"#);
    assert_eq!(applied(&[dead(true)], "{}"), r#"{"deceasedBoolean":true}"#);
}

#[test]
fn an_end_follows_the_start_only_when_it_was_made_of_it() {
    let set = |name| assign(vec![step(name, false, None)], Some(Json::string("2026-01-01T10:00:00Z")));
    let after = |held: &str, assignments: &[Assignment]| {
        let (before, mut after) = (json(held), json(held));
        apply(assignments, &mut after, &[]);
        complete::end_follows_start(&before, assignments, &mut after);
        after.str_at("end").unwrap().to_owned()
    };
    let made = r#"{"resourceType":"Appointment","start":"2026-01-01T14:00:00Z","end":"2026-01-01T14:00:00Z"}"#;
    let told = r#"{"resourceType":"Appointment","start":"2026-01-01T14:00:00Z","end":"2026-01-01T15:00:00Z"}"#;
    assert_eq!(after(made, &[set("start")]), "2026-01-01T10:00:00Z");
    assert_eq!(after(told, &[set("start")]), "2026-01-01T15:00:00Z");
    let both = [set("start"), assign(vec![step("end", false, None)], Some(Json::string("2026-01-01T14:00:00Z")))];
    assert_eq!(after(made, &both), "2026-01-01T14:00:00Z");
}

#[test]
fn an_encounter_has_the_most_guarded_label_of_its_events() {
    let event = |kind: &str, at, label| EventItem {
        kind: kind.to_owned(),
        at,
        when: String::new(),
        entered_at: at,
        label,
        cancels: false,
        resource: Json::Null,
    };
    let admit = event("ADMIT", 1, Some(Label::SexualHealth));
    let silent = event("DISCHARGE", 3, None);
    let other = event("TRANSFER", 2, Some(Label::GeneralHealth));
    let label = |items: &[EventItem]| encounter::label(items, &encounter::Stay::of(items));
    assert_eq!(label(&[silent.clone(), admit.clone()]), Label::SexualHealth);
    // Its places stand side by side in it.
    assert_eq!(label(&[other.clone(), silent.clone(), admit.clone()]), Label::SexualHealth);
    assert_eq!(label(&[other]), Label::GeneralHealth);
    assert_eq!(label(&[silent]), Label::GeneralHealth);
    // A cancelled one keeps what it had.
    let cancel = EventItem { cancels: true, ..event("ADMIT", 4, None) };
    assert_eq!(label(&[admit.clone(), cancel]), Label::SexualHealth);
    // Events that were stored before they had labels are read.
    let old = r#"{"kind":"ADMIT","at":1,"when":"2026","entered_at":1,"resource":{}}"#;
    assert_eq!(serde_json::from_str::<EventItem>(old).unwrap().label, None);
}

/// Any path over few names, so that paths meet elements of other shapes than they expect.
fn any_assignments() -> impl Strategy<Value = Vec<Assignment>> {
    let one = (0..4_usize, any::<bool>(), prop::option::of(0..4_usize), any::<bool>()).prop_map(
        |(name, many, index, is_choice)| Step {
            name: ["a", "b", "aBoolean", "aDateTime"][name],
            many,
            index,
            choice: is_choice.then_some("a"),
        },
    );
    let value = prop_oneof![
        Just("1"),
        Just("true"),
        Just("\"x\""),
        Just("{}"),
        Just(r#"{"a":1}"#),
        Just("[]"),
        Just(r#"[{"id":"x.1"},2]"#)
    ];
    let assignment = (prop::collection::vec(one, 0..4), prop::option::of(value), any::<bool>())
        .prop_map(|(path, value, is_default)| Assignment { path: path.into(), value: value.map(json), is_default });
    prop::collection::vec(assignment, 0..12)
}

#[test]
fn a_number_given_in_the_batch_leads_to_the_teams_of_its_record() {
    let sent = |at, kind| Sent { patient: 0, at, kind };
    let mut store = Store::default();
    store.run(&[sent(0, Kind::Demographics { family: 0 }), sent(1, Kind::Teams { add: true, number: None })], 1);
    let numbered = sent(2, Kind::Numbered { number: 0 });
    let removed = sent(3, Kind::Teams { add: false, number: Some(0) });
    for decision in store.run(&[numbered, removed], 2) {
        assert_eq!(decision.outcome, Outcome::Applied, "{decision:?}");
    }
}

fn notes(decisions: &[Decision]) -> Vec<&'static str> {
    decisions.iter().map(|decision| decision.notes.last().map_or("nothing", |note| note.kind.as_str())).collect()
}

#[test]
fn an_older_message_does_not_bring_back_what_was_cancelled() {
    let sent = |at, kind| Sent { patient: 0, at, kind };
    let mut store = Store::default();
    let first = sent(0, Kind::Demographics { family: 0 });
    let admitted = store.run(&[first, sent(2, Kind::Admit), sent(5, Kind::CancelAdmit), sent(3, Kind::Admit)], 1);
    assert_eq!(notes(&admitted[1..]), ["created", "updated", "older than stored, ignored"]);
    let cancelled = &admitted[2].effects.points[0];
    assert_eq!(cancelled.body.str_at("status"), Some("cancelled"));
    // An update of a stay that has no event left is none; a newer admission is one.
    let mut update = event(&sent(6, Kind::Admit), "UPDATE", Policy::Append);
    update.unknown = Unknown::Ignore;
    let mut message = super::tests::update(&sent(6, Kind::Admit));
    message.changes = vec![update];
    let view = store.all.clone();
    assert_eq!(notes(&[decide(&view, &message, "C")]), ["not found, nothing done"]);
    let again = store.run(&[sent(7, Kind::Admit)], 1);
    assert_eq!(again[0].effects.points[0].body.str_at("status"), Some("in-progress"));
}

#[test]
fn each_cancelled_transfer_is_another_one() {
    let sent = |at, kind| Sent { patient: 0, at, kind };
    let mut store = Store::default();
    let messages = [
        sent(0, Kind::Demographics { family: 0 }),
        sent(1, Kind::Transfer),
        sent(2, Kind::Transfer),
        sent(3, Kind::CancelTransfer),
        sent(4, Kind::CancelTransfer),
        sent(5, Kind::CancelTransfer),
    ];
    let decisions = store.run(&messages, 2);
    // A transfer that is taken back leaves the patient in the hospital.
    assert_eq!(notes(&decisions[1..]), ["created", "unchanged", "unchanged", "updated", "not found, nothing done"]);
}

#[test]
fn the_events_of_an_encounter_are_bounded() {
    let sent = |at, kind| Sent { patient: 0, at, kind };
    let mut store = Store::default();
    store.run(&[sent(0, Kind::Demographics { family: 0 }), sent(1, Kind::Admit)], 1);
    let transfers: Vec<Sent> = (2..1001).map(|at| sent(at, Kind::Transfer)).collect();
    assert!(store.run(&transfers, 64).iter().all(|decision| decision.outcome != Outcome::Rejected));
    let over = store.run(&[sent(2000, Kind::Transfer)], 1);
    let refusal = over[0].refusal.as_ref().unwrap();
    assert_eq!(refusal.text, "PV1-19: the encounter has 1000 events already; start a new one");
}

#[test]
fn an_older_team_request_is_ignored_and_not_wrong() {
    let sent = |at, add| Sent { patient: 0, at, kind: Kind::Teams { add, number: None } };
    let mut store = Store::default();
    let decisions = store.run(&[sent(1, true), sent(9, false), sent(5, false), sent(4, true)], 1);
    assert_eq!(
        decisions.iter().map(|one| one.outcome).collect::<Vec<_>>()[1..],
        [Outcome::Applied, Outcome::Unchanged, Outcome::Unchanged]
    );
    // Asking again for a team counts from then on.
    let decisions = store.run(&[sent(10, true), sent(20, true), sent(15, false)], 1);
    let outcomes: Vec<Outcome> = decisions.iter().map(|one| one.outcome).collect();
    assert_eq!(outcomes, [Outcome::Applied, Outcome::Unchanged, Outcome::Unchanged]);
    assert_eq!(store.run(&[sent(21, false)], 1)[0].outcome, Outcome::Applied);
}

proptest! {
    #[test]
    fn applying_never_panics_and_leaves_json(assignments in any_assignments(), more in any_assignments()) {
        let mut resource = json("{}");
        apply(&assignments, &mut resource, &[]);
        apply(&more, &mut resource, &["a"]);
        let text = resource.to_string();
        prop_assert_eq!(Json::parse(text.as_bytes()).unwrap(), resource.clone());
    }
}

fn organisation() -> Arc<Organisation> {
    let team = |alias: &str, kind| Team::new(alias, alias, kind, LabelSet::NONE);
    let teams = vec![team("PRT", TeamKind::PatientRecord), team("REN", TeamKind::Speciality)];
    Arc::new(Organisation::new("R", "R", teams).unwrap())
}

fn identifier(value: &str, kind: IdentifierKind) -> PatientIdentifier {
    let system = if kind == IdentifierKind::National { "urn:nhs" } else { "urn:mr" };
    let key = IdentifierKey { system: system.into(), value: value.to_owned() };
    PatientIdentifier { key, kind, json: json(&format!(r#"{{"system":"{system}","value":"{value}"}}"#)) }
}

/// A message of a random sequence.
#[derive(Debug, Clone)]
enum Kind {
    Demographics { family: u8 },
    Numbered { number: u8 },
    Teams { add: bool, number: Option<u8> },
    Appointment { key: u8, text: u8, policy: Policy },
    Admit,
    CancelAdmit,
    Transfer,
    CancelTransfer,
    Discharge,
    CancelDischarge,
    DeleteGroup { group: u8 },
    Result { group: u8, test: u8, value: u8 },
    Report(Report),
    Stay { event: &'static str, start: Option<u8>, end: Option<u8>, place: Option<u8> },
}

/// What a message says of the one panel of a group.
#[derive(Debug, Clone)]
struct Report {
    results: Vec<(u8, u8)>,
    note: Option<u8>,
    document: Option<(u8, u8)>,
    delay: Option<u8>,
    sensitive: bool,
}

#[derive(Debug, Clone)]
struct Sent {
    patient: u8,
    at: i64,
    kind: Kind,
}

fn change(resource_type: &'static str, key: &str, policy: Policy) -> Change {
    Change {
        resource_type,
        id: ResourceId::of_point("R", resource_type, key),
        key: key.to_owned(),
        group: None,
        whole_group: false,
        policy,
        unknown: Unknown::Create,
        item: None,
        text: None,
        assignments: Vec::new(),
        only: Arc::new([]),
        sum: false,
        missing: Vec::new(),
        label: Some(Label::GeneralHealth),
    }
}

fn event(sent: &Sent, kind: &str, policy: Policy) -> Change {
    let item = Item { kind: kind.into(), at: sent.at, when: "2026-01-01".to_owned() };
    let class = json(r#"{"code":"IMP"}"#);
    Change {
        item: Some(item),
        unknown: if policy == Policy::Delete { Unknown::Ignore } else { Unknown::Create },
        assignments: vec![
            assign(vec![step("status", false, None)], Some(Json::string("in-progress"))),
            assign(vec![step("class", false, None)], Some(class)),
        ],
        ..change("Encounter", &format!("V{}", sent.patient), policy)
    }
}

fn update(sent: &Sent) -> RecordUpdate {
    let mut update = RecordUpdate {
        organisation: organisation(),
        creating_team: "PRT".to_owned(),
        sent_at: sent.at,
        patient: PatientUpdate {
            demographics: false,
            identifiers: vec![identifier(&format!("N{}", sent.patient), IdentifierKind::National)],
            assignments: Vec::new(),
            missing: Vec::new(),
        },
        teams: None,
        changes: Vec::new(),
        blobs: Vec::new(),
    };
    match &sent.kind {
        Kind::Demographics { family } => {
            update.patient.demographics = true;
            let path = vec![step("name", true, None), step("family", false, None)];
            update.patient.assignments = vec![assign(path, Some(Json::string(format!("F{family}"))))];
        }
        Kind::Numbered { number } => {
            update.patient.demographics = true;
            update.patient.identifiers.push(identifier(&format!("M{number}"), IdentifierKind::Local));
        }
        Kind::Teams { add, number } => {
            update.patient.demographics = true;
            if let Some(number) = number {
                update.patient.identifiers = vec![identifier(&format!("M{number}"), IdentifierKind::Local)];
            }
            let teams = if *add { vec!["PRT".to_owned(), "REN".to_owned()] } else { Vec::new() };
            update.teams = Some(TeamRequest { add: teams, remove: if *add { vec![] } else { vec!["REN".to_owned()] } });
        }
        Kind::Appointment { key, text, policy } => {
            let participant = json(r#"[{"status":"accepted","actor":{"reference":"Patient/$record"}}]"#);
            update.changes.push(Change {
                // Two patients share the keys, so that some messages are refused.
                assignments: vec![
                    assign(vec![step("status", false, None)], Some(Json::string("proposed"))),
                    assign(vec![step("description", false, None)], Some(Json::string(format!("T{text}")))),
                    assign(vec![step("participant", true, None)], Some(participant)),
                ],
                only: Arc::new(["description"]),
                ..change("Appointment", &format!("A{key}"), *policy)
            });
        }
        Kind::Admit => update.changes.push(event(sent, "ADMIT", Policy::Replace)),
        Kind::CancelAdmit => update.changes.push(event(sent, "ADMIT", Policy::Delete)),
        Kind::Transfer => update.changes.push(event(sent, "TRANSFER", Policy::Append)),
        Kind::CancelTransfer => update.changes.push(event(sent, "TRANSFER", Policy::Delete)),
        Kind::Discharge => update.changes.push(event(sent, "DISCHARGE", Policy::Replace)),
        Kind::CancelDischarge => update.changes.push(event(sent, "DISCHARGE", Policy::Delete)),
        Kind::Report(report) => update.changes = panel(sent, report),
        Kind::Stay { event, start, end, place } => update.changes.push(stay(sent, event, *start, *end, *place)),
        Kind::DeleteGroup { group } => {
            let group = format!("G{}-{group}", sent.patient);
            update.changes.push(Change {
                group: Some(group.clone()),
                whole_group: true,
                ..change("Observation", &group, Policy::Delete)
            });
        }
        Kind::Result { group, test, value } => {
            let group = format!("G{}-{group}", sent.patient);
            update.changes.push(Change {
                group: Some(group.clone()),
                assignments: vec![
                    assign(vec![step("status", false, None)], Some(Json::string("final"))),
                    assign(vec![step("code", false, None)], Some(json(r#"{"text":"x"}"#))),
                    assign(vec![step("valueInteger", false, None)], Some(Json::from(i64::from(*value)))),
                ],
                ..change("Observation", &format!("{group}\u{1f}{test}"), Policy::Replace)
            });
        }
    }
    update
}

/// The changes of a panel with its results.
fn panel(sent: &Sent, report: &Report) -> Vec<Change> {
    let group = format!("G{}-0", sent.patient);
    let result = |(test, value): &(u8, u8)| {
        let one = Sent { kind: Kind::Result { group: 0, test: *test, value: *value }, ..sent.clone() };
        update(&one).changes.remove(0)
    };
    let mut changes: Vec<Change> = report.results.iter().map(result).collect();
    let reference = |change: &Change| json(&format!(r#"{{"reference":"Observation/{}"}}"#, change.id));
    let results: Vec<Json> = changes.iter().map(reference).collect();
    let text = |prefix: &str, n: u8| Json::String(format!("{prefix}{n}"));
    let mut assignments = vec![
        assign(vec![step("status", false, None)], Some(Json::string("final"))),
        assign(vec![step("code", false, None)], Some(json(r#"{"text":"x"}"#))),
    ];
    if !results.is_empty() {
        assignments.push(assign(vec![step("result", true, None)], Some(Json::Array(results))));
    }
    assignments.extend(report.note.map(|n| assign(vec![step("conclusion", false, None)], Some(text("note", n)))));
    assignments.extend(report.document.map(|(title, content)| {
        let form = json(&format!(r#"[{{"contentType":"text/plain","url":"Binary/{content}","title":"T{title}"}}]"#));
        assign(vec![step("presentedForm", true, None)], Some(form))
    }));
    assignments.extend(report.delay.map(|days| {
        let extension = json(&format!(r#"[{{"url":"urn:delay","valueInteger":{days}}}]"#));
        assign(vec![step("extension", true, None)], Some(extension))
    }));
    changes.push(Change {
        group: Some(group.clone()),
        sum: true,
        assignments,
        label: Some(if report.sensitive { Label::SexualHealth } else { Label::GeneralHealth }),
        ..change("DiagnosticReport", &group, Policy::Replace)
    });
    changes
}

/// One event of a stay, with the times that the message tells of the whole of it.
fn stay(sent: &Sent, kind: &'static str, start: Option<u8>, end: Option<u8>, place: Option<u8>) -> Change {
    if let Some(cancelled) = kind.strip_prefix("no ") {
        return event(sent, cancelled, Policy::Delete);
    }
    let policy = if matches!(kind, "ADMIT" | "DISCHARGE") { Policy::Replace } else { Policy::Append };
    let hour = |n: u8| format!("2026-01-01T{n:02}:00:00Z");
    // Senders tell the time of the event in the same field, else it is that of the message.
    let own = if kind == "ADMIT" {
        start
    } else if kind == "DISCHARGE" {
        end
    } else {
        None
    };
    let when = own.map_or_else(|| format!("2026-01-01T09:00:{:02}Z", sent.at), hour);
    let at = crate::fhir::date_range(&when).unwrap().0;
    let mut change = event(sent, kind, policy);
    change.item = Some(Item { kind: kind.into(), at, when });
    let mut set = |path: Vec<Step>, value: Option<String>| {
        change.assignments.extend(value.map(|value| assign(path, Some(Json::String(value)))));
    };
    set(vec![step("period", false, None), step("start", false, None)], start.map(hour));
    set(vec![step("period", false, None), step("end", false, None)], end.map(hour));
    let display = vec![step("location", true, None), step("location", false, None), step("display", false, None)];
    set(display, place.map(|n| format!("Ward {n}")));
    if kind == "UPDATE" {
        change.unknown = Unknown::Ignore;
    }
    change
}

/// A store that keeps everything in memory and forgets nothing.
#[derive(Default)]
struct Store {
    all: View,
}

impl Store {
    fn load(&self, wanted: &Wanted) -> View {
        let mut view = View::default();
        for key in &wanted.identifiers {
            view.identifiers.extend(self.all.identifiers.get(key).map(|record| (key.clone(), *record)));
        }
        let mut ids: Vec<ResourceId> = wanted.points.iter().copied().collect();
        ids.extend(view.identifiers.values());
        for (organisation, group) in &wanted.groups {
            let members = self.all.points.values();
            let members =
                members.filter(|head| head.organisation == *organisation && head.group.as_ref() == Some(group));
            let members: std::collections::BTreeSet<ResourceId> = members.map(|head| head.id).collect();
            ids.extend(&members);
            view.groups.insert((organisation.clone(), group.clone()), members);
        }
        ids.extend(wanted.memberships(&view.identifiers));
        for id in ids {
            view.points.extend(self.all.points.get(&id).map(|head| (id, head.clone())));
        }
        view
    }

    /// Decides messages in batches of a size; the decisions in order.
    fn run(&mut self, messages: &[Sent], size: usize) -> Vec<Decision> {
        let mut decisions = Vec::new();
        for batch in messages.chunks(size) {
            let updates: Vec<RecordUpdate> = batch.iter().map(update).collect();
            let mut wanted = Wanted::default();
            updates.iter().for_each(|update| wanted.add(update));
            let mut view = self.load(&wanted);
            for update in &updates {
                let decision = decide(&view, update, "1");
                view.apply(&decision.effects);
                self.all.apply(&decision.effects);
                decisions.push(decision);
            }
        }
        decisions
    }

    /// What readers of the record see.
    fn seen(&self) -> BTreeMap<ResourceId, (String, Label)> {
        let standing = self.all.points.iter().filter(|(_, head)| !head.deleted);
        standing.map(|(id, head)| (*id, (sorted(&head.body), head.label))).collect()
    }

    fn heads(&self) -> BTreeMap<ResourceId, Arc<PointHead>> {
        self.all.points.iter().map(|(id, head)| (*id, head.clone())).collect()
    }
}

fn sent() -> impl Strategy<Value = Sent> {
    let policy = prop_oneof![Just(Policy::Replace), Just(Policy::Merge), Just(Policy::Set), Just(Policy::Delete)];
    let kind = prop_oneof![
        4 => (0..3_u8).prop_map(|family| Kind::Demographics { family }),
        2 => (any::<bool>(), prop::option::of(0..2_u8)).prop_map(|(add, number)| Kind::Teams { add, number }),
        // A second number of the record, which later messages may give alone.
        1 => (0..2_u8).prop_map(|number| Kind::Numbered { number }),
        4 => (0..2_u8, 0..3_u8, policy).prop_map(|(key, text, policy)| Kind::Appointment { key, text, policy }),
        1 => Just(Kind::Admit),
        1 => Just(Kind::CancelAdmit),
        2 => Just(Kind::Transfer),
        1 => Just(Kind::CancelTransfer),
        1 => Just(Kind::Discharge),
        1 => Just(Kind::CancelDischarge),
        1 => (0..2_u8).prop_map(|group| Kind::DeleteGroup { group }),
        4 => (0..2_u8, 0..2_u8, 0..3_u8).prop_map(|(group, test, value)| Kind::Result { group, test, value }),
    ];
    (0..2_u8, 0..6_i64, kind).prop_map(|(patient, at, kind)| Sent { patient, at, kind })
}

/// A resource with its lists in an order of their own: which came first is nobody's business.
fn sorted(body: &Json) -> String {
    let mut body = body.clone();
    if let Json::Object(object) = &mut body {
        for name in ["result", "presentedForm", "extension"] {
            if let Some(Json::Array(items)) = object.get_mut(name) {
                items.sort_by_key(ToString::to_string);
            }
        }
        let mut members: Vec<(String, Json)> =
            object.iter().map(|(name, value)| (name.to_string(), value.clone())).collect();
        members.sort_by(|left, right| left.0.cmp(&right.0));
        return format!("{members:?}");
    }
    body.to_string()
}

fn report() -> impl Strategy<Value = Kind> {
    let results = prop::collection::btree_map(0..3_u8, 0..3_u8, 0..3);
    let parts = (results, prop::option::of(0..3_u8), prop::option::of((0..2_u8, 0..3_u8)), prop::option::of(0..3_u8));
    (parts, any::<bool>()).prop_map(|((results, note, document, delay), sensitive)| {
        Kind::Report(Report { results: results.into_iter().collect(), note, document, delay, sensitive })
    })
}

fn stay_event() -> impl Strategy<Value = Kind> {
    let event = prop_oneof![
        2 => Just("ADMIT"),
        3 => Just("TRANSFER"),
        2 => Just("DISCHARGE"),
        2 => Just("UPDATE"),
        1 => Just("no ADMIT"),
        1 => Just("no TRANSFER"),
        1 => Just("no DISCHARGE"),
    ];
    (event, prop::option::of(1..6_u8), prop::option::of(12..18_u8), prop::option::of(0..3_u8))
        .prop_map(|(event, start, end, place)| Kind::Stay { event, start, end, place })
}

/// Kinds with times of their own, and another order of arrival for them.
fn arrivals(kind: impl Strategy<Value = Kind>) -> impl Strategy<Value = (Vec<Sent>, Vec<Sent>)> {
    prop::collection::vec(kind, 2..7).prop_flat_map(|kinds| {
        let sent: Vec<Sent> = (1..).zip(kinds).map(|(at, kind)| Sent { patient: 0, at: at + 1, kind }).collect();
        (Just(sent.clone()), Just(sent).prop_shuffle())
    })
}

/// A deletion, a cancellation or an update of what is not there does nothing, so something else comes first.
fn begins(messages: &[Sent]) -> bool {
    let does_nothing = |event: &str| event == "UPDATE" || event.starts_with("no ");
    !matches!(messages[0].kind, Kind::DeleteGroup { .. })
        && !matches!(messages[0].kind, Kind::Stay { event, .. } if does_nothing(event))
}

fn ends_alike(sent: &[Sent], arrived: &[Sent]) -> Result<(), TestCaseError> {
    if !begins(arrived) {
        return Ok(());
    }
    let first = Sent { patient: 0, at: 0, kind: Kind::Demographics { family: 0 } };
    let (mut straight, mut mixed) = (Store::default(), Store::default());
    for (store, messages) in [(&mut straight, sent), (&mut mixed, arrived)] {
        store.run(std::slice::from_ref(&first), 1);
        for decision in store.run(messages, 1) {
            prop_assert_ne!(decision.outcome, Outcome::Rejected, "{:?}", decision.refusal);
        }
    }
    prop_assert_eq!(straight.seen(), mixed.seen());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn the_order_in_which_results_arrive_does_not_matter(
        (sent, arrived) in arrivals(prop_oneof![3 => report(), 1 => Just(Kind::DeleteGroup { group: 0 })])
    ) {
        ends_alike(&sent, &arrived)?;
    }

    #[test]
    fn the_order_in_which_events_of_a_stay_arrive_does_not_matter((sent, arrived) in arrivals(stay_event())) {
        ends_alike(&sent, &arrived)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_batch_of_n_is_n_batches_of_one(messages in prop::collection::vec(sent(), 1..40), size in 2..12_usize) {
        let (mut single, mut batched) = (Store::default(), Store::default());
        let one = single.run(&messages, 1);
        let many = batched.run(&messages, size);
        prop_assert_eq!(one, many);
        prop_assert_eq!(single.heads(), batched.heads());
    }

    #[test]
    fn what_was_decided_keeps_the_invariants(messages in prop::collection::vec(sent(), 1..40)) {
        let mut store = Store::default();
        for message in &messages {
            let before = store.heads();
            let decision = store.run(std::slice::from_ref(message), 1).remove(0);
            let after = store.heads();
            match decision.outcome {
                Outcome::Rejected => {
                    prop_assert!(decision.refusal.is_some());
                    prop_assert_eq!(&before, &after, "a refused message changes nothing");
                }
                Outcome::Applied => prop_assert!(!decision.effects.points.is_empty()),
                _ => prop_assert!(decision.effects.points.is_empty()),
            }
            for (id, head) in &after {
                if let Some(earlier) = before.get(id) {
                    prop_assert!(head.version == earlier.version || head.version == earlier.version + 1);
                    if decision.effects.retired.iter().any(|retired| retired.id == *id) {
                        let gone = encounter::Stay::of(&earlier.items).is_cancelled;
                        prop_assert!(earlier.deleted || gone, "only an id that is free goes to another record");
                        prop_assert_ne!(earlier.record, head.record);
                        continue;
                    }
                    prop_assert_eq!(earlier.record, head.record, "nothing moves between records");
                    prop_assert!(head.entered_at >= earlier.entered_at, "an older message undoes nothing newer");
                }
            }
            // The same message again, decided anew, never makes a second version of anything but appended events.
            if !matches!(message.kind, Kind::Transfer | Kind::CancelTransfer | Kind::CancelDischarge) {
                let again = store.run(std::slice::from_ref(message), 1).remove(0);
                let deletes = matches!(message.kind, Kind::Appointment { policy: Policy::Delete | Policy::Set, .. });
                if !deletes && decision.outcome != Outcome::Rejected && !matches!(message.kind, Kind::Teams { add: false, .. }) {
                    prop_assert!(again.effects.points.is_empty(), "{:?} {:?}", message, again.notes);
                }
            }
        }
    }
}
