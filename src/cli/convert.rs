//! `fairway convert`: a message in, the FHIR bundle it makes out; no store, nothing is sent.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use bytes::Bytes;
use fairway_core::fhir::{self, Json};
use fairway_core::hl7v2::{AckCode, Message, ParseOptions, Zone};
use fairway_core::mapping::{self, Explained, Finding, Plan, Profile};
use fairway_core::record::{Blob, Fault, RecordUpdate, Refusal, preview};

use super::{DONE, FINDINGS, WRONG_USE, load_or_built_in, messages};
use crate::config::{Config, ConfiguredFeed};
use crate::intake::{Content, Verdict, prepare, route};

/// Base of the full URLs in a converted bundle; relative references resolve against it.
const BASE: &str = "https://fairway.example/fhir";

/// The mapping of HL7's guide, which every binary carries.
const GUIDE: &str = "v2-to-fhir";

/// Zone of times without an offset where no feed names one.
const ZONE: &str = "Europe/London";

/// Convert HL7 v2 messages to FHIR R4 without a store
///
/// By HL7's guide (profile v2-to-fhir), which makes resources of any message it maps; with --feeds or --feed by the feeds
/// of the configuration, under the rules of the records they fill. Prints one JSON object per message, in order: source,
/// controlId, ack, bundle, unmapped, issues. Files may hold one message, several, a batch, or MLLP frames. The
/// acknowledgement is what an empty store would give as far as the message alone decides it.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  fairway convert message.hl7\n  fairway convert --feeds --pretty message.hl7\n  fairway convert --unmapped --feed demographics adt/*.hl7\n  fairway convert --ack message.hl7\n  fairway convert --explain message.hl7"
)]
pub struct Args {
    /// Files or folders with messages, or - for standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Configuration file; without it config.toml or config.example.toml here, else the built-in example
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Convert by the feed of the configuration that fits the message
    #[arg(long)]
    feeds: bool,
    /// Convert by this feed
    #[arg(long, value_name = "NAME", conflicts_with = "feeds")]
    feed: Option<String>,
    /// Convert by this mapping of the profile v2-to-fhir
    #[arg(long, value_name = "NAME", conflicts_with_all = ["feeds", "feed"])]
    mapping: Option<String>,
    /// Print the acknowledgements as HL7 instead of JSON
    #[arg(long)]
    ack: bool,
    /// Print a table of the fields no mapping read, with counts, instead of JSON
    #[arg(long)]
    unmapped: bool,
    /// Print where each element comes from, instead of JSON: path, value, conversion, file and line of the row
    #[arg(long, conflicts_with_all = ["ack", "unmapped"])]
    explain: bool,
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
    let by = match By::of(&config, args) {
        Ok(by) => by,
        Err(told) => {
            eprintln!("error: {told}");
            return Ok(WRONG_USE);
        }
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
        if args.explain {
            refused |= !explain(&by, &source, message.bytes, out)?;
            continue;
        }
        let converted = by.convert(message.bytes);
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

/// What messages are converted by.
enum By {
    Feeds(Vec<Arc<ConfiguredFeed>>),
    Guide(Arc<Plan>, Zone),
}

impl By {
    fn convert(&self, raw: Bytes) -> Converted {
        match self {
            By::Feeds(feeds) => convert(feeds, raw),
            By::Guide(plan, zone) => guide(plan, zone, raw),
        }
    }

    /// Where each element comes from.
    fn explain(&self, raw: Bytes) -> Vec<Explained> {
        let options = match self {
            By::Feeds(feeds) => feeds.first().map(|feed| feed.parse.clone()).unwrap_or_default(),
            By::Guide(..) => ParseOptions::default(),
        };
        let Ok(message) = Message::parse(raw, &options) else { return Vec::new() };
        match self {
            By::Feeds(feeds) => match route(feeds, &message) {
                Some(feed) => mapping::explain(&feed.feed, &message, crate::intake::now_micros()),
                None => Vec::new(),
            },
            By::Guide(plan, zone) => mapping::explain_resources(plan, &message, zone),
        }
    }

    /// What the arguments ask for, or why it cannot be.
    fn of(config: &Config, args: &Args) -> Result<By, String> {
        if args.feeds {
            return Ok(By::Feeds(config.feeds.clone()));
        }
        if let Some(name) = &args.feed {
            let names: Vec<&str> = config.feeds.iter().map(|feed| feed.feed.name.as_str()).collect();
            let feed = config.feeds.iter().find(|feed| feed.feed.name == *name);
            let feed = feed.ok_or_else(|| format!("there is no such feed\n\nhint: one of: {}", names.join(", ")))?;
            return Ok(By::Feeds(vec![feed.clone()]));
        }
        let name = args.mapping.as_deref().unwrap_or(GUIDE);
        let plan = match config.plans.get(name) {
            // A configuration with mappings of its own need not hold the guide's.
            None if args.mapping.is_none() => {
                Config::built_in().ok().and_then(|built_in| built_in.plans.get(name).cloned())
            }
            held => held.cloned(),
        };
        let fits = |plan: &&Arc<Plan>| plan.profile == Profile::V2ToFhir;
        let plan = plan.as_ref().filter(fits).cloned().ok_or_else(|| {
            let mut names: Vec<&str> = config.plans.values().filter(fits).map(|plan| plan.name.as_str()).collect();
            names.sort_unstable();
            format!("there is no mapping `{name}` of the profile v2-to-fhir\n\nhint: one of: {}", names.join(", "))
        })?;
        Ok(By::Guide(plan, Zone::named(ZONE).map_err(|error| error.to_string())?))
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

/// Prints where each element of a message comes from, or why nothing comes of it; false in that case.
fn explain(by: &By, source: &str, raw: Bytes, out: &mut impl Write) -> io::Result<bool> {
    let converted = by.convert(raw.clone());
    writeln!(out, "{source}")?;
    if let Some(text) = converted.text.filter(|_| converted.code != AckCode::AA) {
        writeln!(out, "  {}: {}\n", converted.code.as_str(), printable(&text))?;
        return Ok(false);
    }
    let explained = by.explain(raw);
    let widest = |cell: fn(&Explained) -> &str, most: usize| {
        explained.iter().map(|one| printable(cell(one)).chars().count()).max().unwrap_or_default().min(most)
    };
    let (element, from, value, how) = (
        widest(|one| &one.element, 44),
        widest(|one| &one.from, 20),
        widest(|one| &one.value, 32),
        widest(|one| &one.by, 28),
    );
    let mut resource = "";
    for one in &explained {
        if one.resource != resource {
            resource = &one.resource;
            writeln!(out, "{resource}")?;
        }
        let shown = Explained {
            resource: String::new(),
            element: cut(&one.element, 44),
            from: cut(&one.from, 20),
            value: cut(&one.value, 32),
            by: cut(&one.by, 28),
            row: one.row.clone(),
        };
        writeln!(
            out,
            "  {:element$}  {:from$}  {:value$}  {:how$}  {}",
            shown.element, shown.from, shown.value, shown.by, shown.row
        )?;
    }
    for path in &converted.unmapped {
        writeln!(out, "  not read: {path}")?;
    }
    writeln!(out)?;
    Ok(true)
}

/// Without control characters, which would reach the terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// At most so many characters, the last of which tells that there are more.
fn cut(text: &str, most: usize) -> String {
    let text = printable(text);
    if text.chars().count() <= most {
        return text;
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// Converts by HL7's guide.
fn guide(plan: &Plan, zone: &Zone, raw: Bytes) -> Converted {
    let now = crate::intake::now_micros();
    let prepared = prepare(&[], raw.clone(), now);
    let (mut unmapped, mut issues, mut bundle) = (Vec::new(), Vec::new(), None);
    let mut refusal = None;
    if let Ok(message) = Message::parse(raw, &ParseOptions::default()) {
        issues.extend(warnings(&message));
        match mapping::resources(plan, &message, zone) {
            Ok(made) => {
                unmapped = mapping::unmapped(plan, &message, Some(&made.reads));
                issues.extend(made.findings.iter().map(|Finding { path, text }| issue(path, text)));
                let mut entries: Vec<Json> = made
                    .resources
                    .into_iter()
                    .map(|resource| {
                        let name = |name| resource.str_at(name).unwrap_or_default().to_owned();
                        entry(&name("resourceType"), &name("id"), resource)
                    })
                    .collect();
                entries.extend(made.blobs.iter().map(binary));
                bundle = Some(collection(made.identifier, entries));
            }
            Err(refused) => {
                unmapped = mapping::unmapped(plan, &message, None);
                refusal = Some(refused);
            }
        }
    }
    let verdict = match (&prepared.content, &refusal) {
        (Content::Failed(reason), _) => Verdict::Failed(reason),
        (_, Some(refusal)) => Verdict::Rejected(refusal),
        _ => Verdict::Accepted,
    };
    let hl7 = Bytes::from(prepared.answer(&verdict, now).concat());
    let (code, text) = (verdict.code(), verdict.ack().text());
    Converted { control_id: prepared.control_id, code, text, hl7, bundle, unmapped, issues }
}

/// What is odd in a message as it was typed.
fn warnings(message: &Message) -> impl Iterator<Item = Json> {
    message.warnings().iter().map(|warning| issue(&format!("byte {}", warning.offset), &warning.code.to_string()))
}

fn convert(feeds: &[Arc<ConfiguredFeed>], raw: Bytes) -> Converted {
    let now = crate::intake::now_micros();
    let prepared = prepare(feeds, raw.clone(), now);
    let (mut unmapped, mut issues) = (Vec::new(), Vec::new());
    if let Ok(message) = Message::parse(raw, &feeds.first().map(|feed| feed.parse.clone()).unwrap_or_default()) {
        issues.extend(warnings(&message));
        if let Some(feed) = route(feeds, &message) {
            unmapped = mapping::unmapped(&feed.feed.plan, &message, prepared.reads.as_ref());
            issues.extend(prepared.findings.iter().map(|Finding { path, text }| issue(path, text)));
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
    let hl7 = Bytes::from(prepared.answer(&verdict, now).concat());
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
    for (kind, id, body) in preview(update) {
        let resource = Json::resource(kind, &id.to_string(), None, &body);
        if let Some(issue) = fhir::check(&resource).first() {
            return Err(Refusal::new(Fault::Value, format!("the message makes no valid {kind}: {issue}")));
        }
        entries.push(entry(kind, &id.to_string(), resource));
    }
    entries.extend(update.blobs.iter().map(binary));
    Ok(collection(None, entries))
}

fn entry(kind: &str, id: &str, resource: Json) -> Json {
    Json::object([("fullUrl", Json::string(format!("{BASE}/{kind}/{id}"))), ("resource", resource)])
}

/// The entry of a document.
fn binary(blob: &Blob) -> Json {
    let data = base64::engine::general_purpose::STANDARD.encode(&blob.bytes);
    let binary = Json::object([
        ("resourceType", Json::string("Binary")),
        ("id", Json::string(blob.id.as_str())),
        ("contentType", Json::string(&*blob.content_type)),
        ("data", Json::string(data)),
    ]);
    entry("Binary", &blob.id, binary)
}

fn collection(identifier: Option<Json>, entries: Vec<Json>) -> Json {
    let mut members = vec![("resourceType", Json::string("Bundle"))];
    members.extend(identifier.map(|identifier| ("identifier", identifier)));
    members.extend([("type", Json::string("collection")), ("entry", Json::Array(entries))]);
    Json::object(members)
}
