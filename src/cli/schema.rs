//! `fairway schema`: JSON Schemas of mapping and feed files, so that editors complete and check them.

use std::io::{self, Write};
use std::path::PathBuf;

use fairway_core::fhir;
use fairway_core::mapping::CONVERSIONS;
use serde_json::{Map, Value, json};

use super::{DONE, load_or_built_in};
use crate::config::Config;

/// Print the JSON Schema of mapping or feed files
///
/// For editors that complete and check TOML by a schema. The names of code sets, mappings and organisations are those of
/// the configuration.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  fairway schema mapping > mapping.schema.json\n  fairway schema feed --config config.toml > feed.schema.json\n\nThen begin a file with: #:schema ../mapping.schema.json"
)]
pub struct Args {
    /// Kind of file
    #[arg(value_enum)]
    kind: Kind,
    /// Configuration file; without it config.toml or config.example.toml here, else the built-in example
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// A kind of file that has a schema.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Kind {
    /// Files in the mappings folder
    Mapping,
    /// Files in the feeds folder
    Feed,
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
    let schema = match args.kind {
        Kind::Mapping => mapping(&config),
        Kind::Feed => feed(&config),
    };
    writeln!(out, "{}", serde_json::to_string_pretty(&schema).map_err(io::Error::other)?)?;
    Ok(DONE)
}

const DRAFT: &str = "http://json-schema.org/draft-07/schema#";

/// A property: its schema with what it means.
fn described(mut schema: Value, about: &str) -> Value {
    if let Value::Object(object) = &mut schema {
        object.insert("description".to_owned(), json!(about));
    }
    schema
}

fn text(about: &str) -> Value {
    described(json!({ "type": "string" }), about)
}

fn texts(about: &str) -> Value {
    let list = json!({ "type": "array", "items": { "type": "string" } });
    described(json!({ "anyOf": [{ "type": "string" }, list] }), about)
}

fn truth(about: &str) -> Value {
    described(json!({ "type": "boolean" }), about)
}

fn one_of<'n>(names: impl IntoIterator<Item = &'n str>, about: &str) -> Value {
    let mut names: Vec<&str> = names.into_iter().collect();
    names.sort_unstable();
    described(json!({ "enum": names }), about)
}

/// A table that takes these keys and no others.
fn table(properties: &[(&str, Value)], required: &[&str]) -> Value {
    let properties: Map<String, Value> =
        properties.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect();
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

fn one_or_many(item: &Value) -> Value {
    json!({ "anyOf": [item, { "type": "array", "items": item }] })
}

fn named(items: &Value) -> Value {
    json!({ "type": "object", "additionalProperties": items })
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/definitions/{name}") })
}

/// Keys and what they mean, of the rows of a mapping.
fn row(codes: &[&str]) -> Value {
    let conversions: Vec<&str> = CONVERSIONS.iter().map(|doc| doc.name).collect();
    let condition = || described(one_or_many(&reference("condition")), "conditions that must all hold");
    let any = json!({ "type": ["string", "boolean", "integer"] });
    let pair = json!({ "type": "array", "items": { "type": "string" }, "minItems": 2, "maxItems": 2 });
    let pairs = json!({ "type": "array", "items": pair });
    table(
        &[
            ("to", text("FHIR element, with dots; given[0] names one item of a repeating element")),
            ("from", texts("HL7 path, or several of which the first valued one is taken")),
            ("lines", texts("paths whose values are joined as lines, in the order of the message")),
            ("outside", texts("`lines` leaves out the groups that begin with this segment")),
            ("value", described(any, "a constant")),
            ("as", one_of(conversions, "conversion; without it `text`")),
            ("codes", one_of(codes.iter().copied(), "code set instead of a conversion")),
            ("any-case", truth("capitals do not matter to `codes`")),
            ("otherwise", text("what a code becomes that the code set does not have")),
            ("default", text("what is used when nothing is valued")),
            ("issue", text("what is told when the default is used")),
            ("fallback", truth("runs only when no row before it filled the element")),
            ("latest", truth("of several instants the last one counts, not the first")),
            ("unit", text("path of the unit of a quantity or a duration")),
            ("with", text("what some conversions take besides the value")),
            ("title", texts("paths of the title of an attachment")),
            ("identity", texts("paths that tell documents of one report apart")),
            ("delay", text("path of the days to hold a document back")),
            ("rows", text("a block of rows that makes the element; beside `from` once for each value")),
            ("make", text("with `rows`: a resource of its own, to which the element refers (v2-to-fhir)")),
            ("each", text("once for each segment, in its own group: `OBX`, `OBR/OBX`")),
            ("refer", text("`patient`, or a resource type: a reference")),
            ("of", text("with `refer`: the segment whose resource is meant (v2-to-fhir)")),
            (
                "plus",
                described(
                    pairs.clone(),
                    "with `as = \"instant\"`: durations of which the first is added, a number and its unit",
                ),
            ),
            ("same", described(pairs, "with `of`: a path there and one here, with equal values (v2-to-fhir)")),
            ("key", json!({ "type": ["string", "array"], "description": "with `refer`: the key of what is meant" })),
            ("use", text("takes the rows of a block here")),
            ("when", condition()),
            ("unless", condition()),
            ("need", one_of(["always", "create", "rows"], "what a missing value refuses")),
            ("label", text("what the value is called in the refusal")),
            ("missing", text("a refusal of its own")),
            ("null", one_of(["delete", "keep"], "what \"\" does")),
            ("id", text("element id of the items, so that they stay while a message brings none of this row")),
        ],
        &[],
    )
}

fn condition() -> Value {
    let number = json!({ "type": "integer", "minimum": 0 });
    table(
        &[
            ("valued", text("path or segment with a value")),
            ("absent", text("path or segment without a value")),
            ("no-quantity", text("OBX-5 of which `observation-value` makes no quantity")),
            ("document", text("OBX-5 that holds a document")),
            ("no-document", text("OBX-5 that holds none")),
            ("time", text("a time stamp that can be read")),
            ("date", text("a time stamp without a time of the day")),
            ("within", texts("segments with which a group around the segment at hand begins")),
            ("outside", texts("segments with which none does")),
            ("path", text("path whose text is looked at")),
            ("in", texts("the texts of `path` for which it holds")),
            ("not-in", texts("the texts of `path` for which it does not hold")),
            ("differ", texts("paths whose values are not all equal")),
            ("after", texts("two times, the first after all of the second")),
            ("count", text("segment that is counted")),
            ("above", number.clone()),
            ("below", number),
            ("loose", text("segment of which one stands in no order")),
            ("pattern", one_of(["collection", "result", "textual-report"], "shape of an order (hl7-api 6.1.1)")),
        ],
        &[],
    )
}

fn check() -> Value {
    let own = table(
        &[
            ("each", text("asked for each segment")),
            ("if", described(one_or_many(&reference("condition")), "the message is refused when all hold")),
            ("refuse", text("what the sender is told, beginning with the place")),
            ("use", text("takes the checks of a name")),
        ],
        &[],
    );
    json!({ "anyOf": [{ "type": "string" }, own] })
}

fn write() -> Value {
    let key = json!({ "type": ["string", "array"], "description": "the sender's id: path, or list of parts" });
    let resources = fhir::r4().types().iter().filter(|kind| kind.is_resource()).map(fhir::Type::name);
    let own = table(
        &[
            ("resource", one_of(resources, "FHIR resource type")),
            ("policy", one_of(["append", "delete", "merge", "replace", "set"], "what happens to a known data point")),
            ("unknown", one_of(["create", "ignore"], "what happens when the key is unknown")),
            ("key", key),
            ("label", texts("what the parts of the key are called when one is missing")),
            ("apart", text("tells its keys from the same keys of another feed")),
            ("identifier", texts("paths of the identifier that is filed")),
            ("each", text("one for each segment: `OBR`, `OBR/OBX`")),
            ("when", described(one_or_many(&reference("condition")), "conditions that must all hold")),
            ("per-patient", truth("the key counts within one patient (v2-to-fhir)")),
            ("bare", truth("made even when its rows tell nothing (v2-to-fhir)")),
            ("group", texts("paths of the group it is deleted with")),
            ("whole-group", truth("deletes all of the group")),
            ("item", text("kind of event, for data points made of events")),
            ("at", texts("paths of the time of the event")),
            ("only", texts("with policy `set`: the elements that change")),
            ("sum", truth("a report is what all messages of its key add up to")),
            ("once", truth("one key may come only once in a message")),
            ("specialty", texts("path of the code of the specialty")),
            ("service", texts("path of the code of the order service")),
            ("rows", text("what fills it")),
        ],
        &[],
    );
    json!({ "anyOf": [{ "type": "string", "description": "a name of [writes]" }, own] })
}

/// What a mapping or a feed changes of the mapping it is based on.
fn changes(codes: &[&str]) -> [(&'static str, Value); 2] {
    let change = table(
        &[
            ("add", described(one_or_many(&reference("row")), "rows that are added")),
            ("replace", described(one_or_many(&reference("row")), "rows that take the place of those with their `to`")),
            ("remove", texts("rows with this `to` are removed")),
        ],
        &[],
    );
    let about = "code sets that others take the place of";
    [
        ("change", described(named(&change), "changes of blocks of rows")),
        ("codes", described(named(&one_of(codes.iter().copied(), "the code set that is asked instead")), about)),
    ]
}

fn schema(title: &str, properties: &[(&str, Value)], required: &[&str], codes: &[&str]) -> Value {
    let mut schema = table(properties, required);
    if let Value::Object(object) = &mut schema {
        object.insert("$schema".to_owned(), json!(DRAFT));
        object.insert("title".to_owned(), json!(title));
        object.insert("definitions".to_owned(), json!({ "condition": condition(), "row": row(codes) }));
    }
    schema
}

fn code_sets(config: &Config) -> Vec<&str> {
    config.code_sets.iter().map(|set| set.name.as_str()).collect()
}

fn mapping(config: &Config) -> Value {
    let codes = code_sets(config);
    let patient = table(
        &[
            ("policy", one_of(["match", "merge"], "`merge` creates and updates the record, `match` only finds it")),
            ("rows", text("fills the Patient")),
        ],
        &["policy", "rows"],
    );
    let teams = table(
        &[("add", text("path of the teams to add")), ("remove", text("path of the teams to remove"))],
        &["add", "remove"],
    );
    let message = table(
        &[
            ("events", texts("message types, as ADT^A28")),
            ("patient", patient),
            ("teams", teams),
            ("checks", described(one_or_many(&check()), "conditions that refuse the message")),
            ("write", described(one_or_many(&write()), "the data points, in the order they are applied")),
        ],
        &["events"],
    );
    let mut properties = vec![
        ("profile", one_of(["phr", "v2-to-fhir"], "the published behaviour it follows")),
        ("base", text("the mapping this one is based on")),
        ("include", texts("files whose rows and checks it takes")),
        ("segments", texts("segments of your own")),
        ("message", json!({ "type": "array", "items": message })),
        ("rows", named(&one_or_many(&reference("row")))),
        ("checks", named(&one_or_many(&check()))),
        ("writes", named(&one_or_many(&write()))),
    ];
    properties.extend(changes(&codes));
    schema("A mapping of Fairway", &properties, &[], &codes)
}

fn feed(config: &Config) -> Value {
    let codes = code_sets(config);
    let route =
        table(&[("application", texts("MSH-3 of its messages")), ("facility", texts("MSH-4 of its messages"))], &[]);
    let kinds = crate::config::FeedKind::names();
    let mappings = config.plans.keys().map(String::as_str);
    let organisations = config.organisations.iter().map(|one| one.code());
    let mut properties = vec![
        ("kind", one_of(kinds, "what it carries")),
        ("organisation", one_of(organisations, "code of the organisation that sends it")),
        ("mapping", one_of(mappings, "the mapping that translates its messages")),
        ("zone", text("zone of times without an offset, e.g. Europe/London")),
        ("charset", text("character set when MSH-18 says nothing, e.g. UNICODE UTF-8")),
        ("route", described(one_or_many(&route), "which messages are its own")),
    ];
    properties.extend(changes(&codes));
    schema("A feed of Fairway", &properties, &["kind", "organisation", "mapping"], &codes)
}
