//! Mapping tests as folders: `fixtures/<feed>/<case>/` with a message, what came before it, and what must come of it.
//!
//! Played without a store by [`play`], which keeps the record rules' view in memory; the demo plays the same cases over
//! MLLP.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use fairway_core::fhir::Json;
use fairway_core::hl7v2::{Ack, split_batch};
use fairway_core::record::{Decision, Outcome, PointHead, View, Wanted, decide};

use crate::config::ConfiguredFeed;
use crate::intake::{Content, Prepared, Verdict, now_micros, prepare};

/// One case.
#[derive(Debug, Clone)]
pub struct Case {
    /// `<feed>/<case>`.
    pub name: String,
    /// Its folder.
    pub folder: PathBuf,
    /// Messages that are sent first and must be accepted.
    pub before: Vec<Bytes>,
    /// The message under test.
    pub message: Bytes,
    /// What must come of it, or why `expected.json` does not say it.
    pub expected: Result<Json, String>,
}

/// A case that cannot be played.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{name}: {fault}")]
pub struct Broken {
    /// `<feed>/<case>`.
    pub name: String,
    /// Which file cannot be read, and why.
    pub fault: String,
}

/// Reads every case below a folder, in order of name.
///
/// # Errors
/// When a folder cannot be read; the error names it.
pub fn read(folder: &Path) -> io::Result<Vec<Result<Case, Broken>>> {
    let mut cases = Vec::new();
    for feed in folders(folder)? {
        for case in folders(&feed)? {
            cases.push(read_case(&feed, &case));
        }
    }
    Ok(cases)
}

fn folders(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", folder.display()));
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(named)? {
        let path = entry?.path();
        if path.is_dir() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn read_case(feed: &Path, folder: &Path) -> Result<Case, Broken> {
    let text = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let name = format!("{}/{}", text(feed), text(folder));
    let file = |file: &str| match fs::read(folder.join(file)) {
        Ok(bytes) => Ok(Some(Bytes::from(bytes))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{file}: {error}")),
    };
    let broken = |fault: String| Broken { name: name.clone(), fault };
    let message = file("message.hl7").and_then(|found| found.ok_or_else(|| "message.hl7 is missing".to_owned()));
    let before = file("before.hl7").map_err(broken)?.map(|bytes| split_batch(bytes).collect()).unwrap_or_default();
    let expected = file("expected.json").and_then(|found| {
        let missing = || format!("expected.json is missing; write it with: fairway test --update {name}");
        Json::parse(&found.ok_or_else(missing)?).map_err(|error| format!("expected.json: {error}"))
    });
    Ok(Case { message: message.map_err(broken)?, name, folder: folder.to_owned(), before, expected })
}

/// Plays a case on an empty record store in memory; what the message came to has the form of `expected.json`.
///
/// # Errors
/// A sentence when a message of `before.hl7` is not accepted.
pub fn play(feeds: &[Arc<ConfiguredFeed>], case: &Case) -> Result<Json, String> {
    let mut memory = Memory::default();
    for (index, message) in case.before.iter().enumerate() {
        let (ack, _) = memory.take(feeds, message.clone());
        if let Some(text) = ack.text() {
            return Err(format!("message {} of before.hl7 was answered {}: {text}", index + 1, ack.code.as_str()));
        }
    }
    let (ack, decision) = memory.take(feeds, case.message.clone());
    Ok(describe(&ack, decision.outcome, &decision.effects.points))
}

/// Acknowledgement, outcome and new versions, in the form of `expected.json`.
fn describe(ack: &Ack, outcome: Outcome, points: &[Arc<PointHead>]) -> Json {
    let changes = points.iter().map(|head| {
        Json::object([
            ("resource", Json::string(format!("{}/{}", head.resource_type, head.id))),
            ("version", Json::from(i64::from(head.version))),
            ("label", Json::string(head.label.code())),
            ("deleted", Json::Bool(head.deleted)),
            ("content", (*head.body).clone()),
        ])
    });
    let mut ack_members = vec![("code", Json::string(ack.code.as_str()))];
    ack_members.extend(ack.text().map(|text| ("text", Json::String(text))));
    Json::object([
        ("ack", Json::object(ack_members)),
        ("outcome", Json::string(outcome.as_str())),
        ("changes", Json::Array(changes.collect())),
    ])
}

/// The record rules' view as a store of its own, for tests.
#[derive(Default)]
struct Memory {
    view: View,
}

impl Memory {
    fn take(&mut self, feeds: &[Arc<ConfiguredFeed>], message: Bytes) -> (Ack, Decision) {
        let Prepared { content, control_id, .. } = prepare(feeds, message, now_micros());
        let update = match content {
            Content::Update(update) => update,
            Content::Rejected(refusal) => return (Verdict::Rejected(&refusal).ack(), Decision::refuse(refusal)),
            Content::Failed(text) => return (Verdict::Failed(&text).ack(), Decision::failed()),
        };
        let mut wanted = Wanted::default();
        wanted.add(&update);
        for (organisation, group) in &wanted.groups {
            let members = self
                .view
                .points
                .values()
                .filter(|head| head.organisation == *organisation && head.group.as_deref() == Some(group))
                .map(|head| head.id)
                .collect();
            self.view.groups.insert((organisation.clone(), group.clone()), members);
        }
        let decision = decide(&self.view, &update, &control_id);
        self.view.apply(&decision.effects);
        let verdict = decision.refusal.as_ref().map_or(Verdict::Accepted, Verdict::Rejected);
        (verdict.ack(), decision)
    }
}

/// The places where two JSON values differ, as `path: expected … found …` lines, in the order of the expected value.
pub fn differences(expected: &Json, found: &Json) -> Vec<String> {
    let mut lines = Vec::new();
    differ("", expected, found, &mut lines);
    lines
}

fn differ(path: &str, expected: &Json, found: &Json, lines: &mut Vec<String>) {
    match (expected, found) {
        (Json::Object(left), Json::Object(right)) => {
            for (name, value) in left.iter() {
                let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
                match right.get(name) {
                    Some(other) => differ(&path, value, other, lines),
                    None => lines.push(format!("{path}: expected {value}, found nothing")),
                }
            }
            for (name, value) in right.iter().filter(|(name, _)| left.get(name).is_none()) {
                let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
                lines.push(format!("{path}: expected nothing, found {value}"));
            }
        }
        (Json::Array(left), Json::Array(right)) => {
            for index in 0..left.len().max(right.len()) {
                let path = format!("{path}[{index}]");
                match (left.get(index), right.get(index)) {
                    (Some(value), Some(other)) => differ(&path, value, other, lines),
                    (Some(value), None) => lines.push(format!("{path}: expected {value}, found nothing")),
                    (None, Some(other)) => lines.push(format!("{path}: expected nothing, found {other}")),
                    (None, None) => {}
                }
            }
        }
        _ if expected == found => {}
        _ => lines.push(format!("{path}: expected {expected}, found {found}")),
    }
}
