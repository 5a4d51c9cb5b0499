//! `fairway convert`: a message in, the FHIR bundle it makes out; no store, nothing is sent.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use bytes::Bytes;
use fairway_core::fhir::{self, Json};
use fairway_core::hl7v2::{AckCode, Message};
use fairway_core::mapping::{self, Finding};
use fairway_core::record::{Fault, RecordUpdate, Refusal, preview};

use super::{DONE, FINDINGS, WRONG_USE, load_or_built_in, messages};
use crate::config::{Config, ConfiguredFeed};
use crate::intake::{Content, Verdict, prepare, route};

/// Base of the full URLs in a converted bundle; relative references resolve against it.
const BASE: &str = "https://fairway.example/fhir";

/// Convert HL7 v2 messages to FHIR R4 without a store
///
/// Prints one JSON object per message, in order: source, controlId, ack, bundle, unmapped, issues. Files may hold one
/// message, several, a batch, or MLLP frames. The acknowledgement is what an empty store would give as far as the
/// message alone decides it.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  fairway convert message.hl7\n  fairway convert --unmapped --feed demographics adt/*.hl7\n  fairway convert --ack message.hl7"
)]
pub struct Args {
    /// Files or folders with messages, or - for standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Configuration file; without it config.toml or config.example.toml here, else the built-in example
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Convert by this feed instead of the one that fits the message
    #[arg(long, value_name = "NAME")]
    feed: Option<String>,
    /// Print the acknowledgements as HL7 instead of JSON
    #[arg(long)]
    ack: bool,
    /// Print a table of the fields no mapping read, with counts, instead of JSON
    #[arg(long)]
    unmapped: bool,
    /// Indent the JSON
    #[arg(long)]
    pretty: bool,
}

/// Runs the command.
///
/// # Errors
/// When standard output cannot be written.
pub fn run(args: &Args, out: &mut impl Write) -> io::Result<u8> {
    let config = match load_or_built_in(args.config.as_ref()) {
        Ok(config) => config,
        Err(code) => return Ok(code),
    };
    let Some(feeds) = feeds(&config, args.feed.as_deref()) else {
        let names: Vec<&str> = config.feeds.iter().map(|feed| feed.feed.name.as_str()).collect();
        eprintln!("error: there is no such feed\n\nhint: one of: {}", names.join(", "));
        return Ok(WRONG_USE);
    };
    let found = match messages::read(&args.files, messages::Blank::Kept) {
        Ok(found) => found,
        Err((path, error)) => {
            eprintln!("error: cannot read {}: {error}", path.display());
            return Ok(WRONG_USE);
        }
    };
    let mut refused = false;
    let mut unmapped: Vec<(String, usize)> = Vec::new();
    for message in found {
        let source = messages::source(&message);
        let converted = convert(&feeds, message.bytes);
        refused |= converted.code != AckCode::AA;
        if args.ack {
            out.write_all(&converted.hl7)?;
            writeln!(out)?;
        } else if args.unmapped {
            for path in converted.unmapped {
                match unmapped.iter_mut().find(|(known, _)| *known == path) {
                    Some((_, count)) => *count += 1,
                    None => unmapped.push((path, 1)),
                }
            }
        } else {
            let json = converted.json(&source);
            if args.pretty {
                writeln!(out, "{}", serde_json::to_string_pretty(&json).map_err(io::Error::other)?)?;
            } else {
                writeln!(out, "{json}")?;
            }
        }
    }
    if args.unmapped {
        unmapped.sort_by(|left, right| right.1.cmp(&left.1).then_with(|| left.0.cmp(&right.0)));
        for (path, count) in unmapped {
            writeln!(out, "{count:>7}  {path}")?;
        }
    }
    Ok(if refused { FINDINGS } else { DONE })
}

fn feeds(config: &Config, wanted: Option<&str>) -> Option<Vec<Arc<ConfiguredFeed>>> {
    match wanted {
        None => Some(config.feeds.clone()),
        Some(name) => Some(vec![config.feeds.iter().find(|feed| feed.feed.name == name)?.clone()]),
    }
}

/// A converted message.
struct Converted {
    control_id: String,
    code: AckCode,
    text: Option<String>,
    hl7: Bytes,
    bundle: Option<Json>,
    unmapped: Vec<String>,
    issues: Vec<Json>,
}

impl Converted {
    fn json(&self, source: &str) -> Json {
        let text = self.text.as_ref().map_or(Json::Null, |text| Json::string(text.as_str()));
        let ack = Json::object([("code", Json::string(self.code.as_str())), ("text", text)]);
        let unmapped = self.unmapped.iter().map(|path| Json::string(path.as_str())).collect();
        Json::object([
            ("source", Json::string(source)),
            ("controlId", Json::string(self.control_id.as_str())),
            ("ack", ack),
            ("bundle", self.bundle.clone().unwrap_or(Json::Null)),
            ("unmapped", Json::Array(unmapped)),
            ("issues", Json::Array(self.issues.clone())),
        ])
    }
}

fn issue(path: &str, text: &str) -> Json {
    Json::object([("path", Json::string(path)), ("text", Json::string(text))])
}

fn convert(feeds: &[Arc<ConfiguredFeed>], raw: Bytes) -> Converted {
    let now = crate::intake::now_micros();
    let prepared = prepare(feeds, raw.clone(), now);
    let (mut unmapped, mut issues) = (Vec::new(), Vec::new());
    if let Ok(message) = Message::parse(raw, &feeds.first().map(|feed| feed.parse.clone()).unwrap_or_default()) {
        for warning in message.warnings() {
            issues.push(issue(&format!("byte {}", warning.offset), &warning.code.to_string()));
        }
        if let Some(feed) = route(feeds, &message) {
            unmapped = mapping::unmapped(&feed.feed.plan, &message);
            if let Ok(translation) = mapping::translate(&feed.feed, &message, now) {
                issues.extend(translation.findings.iter().map(|Finding { path, text }| issue(path, text)));
            }
        }
    }
    let made = match &prepared.content {
        Content::Update(update) => Some(bundle(update)),
        Content::Rejected(_) | Content::Failed(_) => None,
    };
    let verdict = match (&prepared.content, &made) {
        (Content::Rejected(refusal), _) | (_, Some(Err(refusal))) => Verdict::Rejected(refusal),
        (Content::Failed(reason), _) => Verdict::Failed(reason),
        (Content::Update(_), _) => Verdict::Accepted,
    };
    let hl7 = prepared.answer(&verdict, now);
    let (code, text) = (verdict.code(), verdict.ack().text());
    let bundle = made.and_then(Result::ok);
    Converted { control_id: prepared.control_id, code, text, hl7, bundle, unmapped, issues }
}

/// The bundle of an update, valid R4.
fn bundle(update: &RecordUpdate) -> Result<Json, Refusal> {
    if let Some(missing) = update.patient.missing.first().filter(|_| update.patient.demographics) {
        return Err(Refusal::new(Fault::Missing, missing));
    }
    let mut entries = Vec::new();
    let entry = |kind: &str, id: &str, resource: Json| {
        Json::object([("fullUrl", Json::string(format!("{BASE}/{kind}/{id}"))), ("resource", resource)])
    };
    for (kind, id, body) in preview(update) {
        let resource = Json::resource(kind, &id.to_string(), None, &body);
        if let Some(issue) = fhir::check(&resource).first() {
            return Err(Refusal::new(Fault::Value, format!("the message makes no valid {kind}: {issue}")));
        }
        entries.push(entry(kind, &id.to_string(), resource));
    }
    for blob in &update.blobs {
        let data = base64::engine::general_purpose::STANDARD.encode(&blob.bytes);
        let binary = Json::object([
            ("resourceType", Json::string("Binary")),
            ("id", Json::string(blob.id.as_str())),
            ("contentType", Json::string(&*blob.content_type)),
            ("data", Json::string(data)),
        ]);
        entries.push(entry("Binary", &blob.id, binary));
    }
    Ok(Json::object([
        ("resourceType", Json::string("Bundle")),
        ("type", Json::string("collection")),
        ("entry", Json::Array(entries)),
    ]))
}
