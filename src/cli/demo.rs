//! `fairway demo`: the example configuration in a fresh data folder, every fixture played over MLLP, and what came of it.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{DONE, FINDINGS, WRONG_USE, load_or_built_in, start};
use crate::config::{Config, ConfiguredFeed};
use crate::daemon::Daemon;
use crate::fixtures::{self, Case};
use crate::intake::route;
use crate::mllp::client::{Client, ack_code, ack_text};
use crate::store::{Driver, MessageFilter, Reader, Scan, Stored};
use bytes::Bytes;
use fairway_core::fhir::Json;
use fairway_core::hl7v2::Message;
use fairway_core::record::ResourceId;

/// How long the demo waits for a connection and for an answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Records printed; of more only the number is told.
const RECORDS_SHOWN_MAX: usize = 200;

/// Start the example configuration, play every fixture over MLLP, show the records
///
/// Everything happens in the sandbox, in a fresh folder below the configuration's data folder. Stays up until it is
/// stopped (Ctrl-C), so that the FHIR API and the status page can be looked at.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  fairway demo\n  fairway demo --exit")]
pub struct Args {
    /// Configuration file; without it config.toml or config.example.toml here, else the built-in example
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder of the cases
    #[arg(long, value_name = "FOLDER", default_value = "fixtures")]
    fixtures: PathBuf,
    /// End after the play; exit code 0 only when every case came out as expected
    #[arg(long)]
    exit: bool,
}

/// Runs the command.
///
/// # Errors
/// When standard output cannot be written or signals cannot be awaited.
pub async fn run(args: &Args, out: &mut impl Write) -> io::Result<u8> {
    let mut config = match load_or_built_in(args.config.as_ref()) {
        Ok(config) => config,
        Err(code) => return Ok(code),
    };
    let mut listeners = config.environments.iter().flat_map(|environment| &environment.listeners);
    if let Some(listener) = listeners.find(|listener| listener.tls.is_some()) {
        eprintln!("error: the demo has no certificate to show, and listener `{}` does TLS", listener.name);
        eprintln!("\nhint: give --config with listeners without `tls`");
        return Ok(WRONG_USE);
    }
    let read = fixtures::read(&args.fixtures)
        .and_then(|cases| cases.into_iter().collect::<Result<Vec<Case>, _>>().map_err(io::Error::other));
    let cases = match read {
        Ok(cases) => cases,
        Err(error) => {
            eprintln!("error: {error}\n\nhint: run the demo in the project's folder, or give --fixtures");
            return Ok(WRONG_USE);
        }
    };
    let folder = config.data.join(format!("demo-{}", jiff::Timestamp::now().as_millisecond()));
    config.data.clone_from(&folder);
    let (daemon, mut stop) = match start(&config, "warn").await? {
        Ok(started) => started,
        Err(code) => return Ok(code),
    };
    let failed = match play(&config, &daemon, &cases, out).await {
        Ok(failed) => failed,
        Err(Early::Output(error)) => return Err(error),
        Err(Early::Told(text)) => {
            eprintln!("error: {text}");
            daemon.stop().await;
            return Ok(WRONG_USE);
        }
    };
    writeln!(out, "\n{} cases, {} as expected, {failed} not", cases.len(), cases.len() - failed)?;
    if !args.exit {
        addresses(&daemon, &folder, out)?;
        out.flush()?;
        stop.told().await;
    }
    daemon.stop().await;
    if args.exit {
        // The folder was made for this play and holds nothing else.
        std::fs::remove_dir_all(&folder)?;
    }
    Ok(if failed == 0 { DONE } else { FINDINGS })
}

/// Why a play ended early.
enum Early {
    Output(io::Error),
    Told(String),
}

impl From<io::Error> for Early {
    fn from(error: io::Error) -> Early {
        Early::Output(error)
    }
}

/// Plays every case and prints what came of it; returns how many came out differently.
async fn play(config: &Config, daemon: &Daemon, cases: &[Case], out: &mut impl Write) -> Result<usize, Early> {
    let told = |text: String| Early::Told(text);
    let sandbox = daemon
        .environments
        .iter()
        .find(|environment| environment.name == "sandbox")
        .ok_or_else(|| told("the configuration has no sandbox".to_owned()))?;
    let mut failed = 0;
    let width = cases.iter().map(|case| case.name.len()).max().unwrap_or(0);
    for case in cases {
        let mut faults = Vec::new();
        let messages = case.before.iter().map(|message| (message, false)).chain([(&case.message, true)]);
        for (message, tested) in messages {
            let address = listener_of(config, &sandbox.listeners, message)
                .ok_or_else(|| told(format!("no listener of the sandbox takes a message of {}", case.name)))?;
            let mut client = Client::connect(address, TIMEOUT)
                .await
                .map_err(|error| told(format!("cannot connect to {address}: {error}")))?;
            let ack = client.send(message).await.map_err(|error| told(format!("{}: {error}", case.name)))?;
            let code = ack_code(&ack).unwrap_or("??").to_owned();
            let text = Message::parse(ack.clone(), &Default::default())
                .ok()
                .and_then(|ack| ack.text("MSA-3"))
                .or_else(|| ack_text(&ack))
                .unwrap_or_default();
            let changed = last_action(&sandbox.reader).map_err(told)?;
            let name = if tested { case.name.as_str() } else { "  before" };
            writeln!(out, "{name:width$}  {code}  {}", if code == "AA" { changed.as_str() } else { text.as_str() })?;
            if tested {
                faults = compare(case, &code, &text, &sandbox.reader);
            } else if code != "AA" {
                faults.push(format!("a message of before.hl7 was answered {code}"));
            }
        }
        failed += usize::from(!faults.is_empty());
        for fault in faults {
            writeln!(out, "    NOT AS EXPECTED: {fault}")?;
        }
    }
    records(&sandbox.reader, out)?;
    Ok(failed)
}

/// Address of the listener whose feeds take a message; the first one when none does.
fn listener_of(config: &Config, listeners: &[(String, SocketAddr)], message: &Bytes) -> Option<SocketAddr> {
    let environment = config.environments.iter().find(|environment| environment.name == "sandbox")?;
    let parsed = Message::parse(message.clone(), &Default::default()).ok();
    let takes = |feeds: &[Arc<ConfiguredFeed>]| parsed.as_ref().is_some_and(|message| route(feeds, message).is_some());
    let listener = environment.listeners.iter().find(|listener| takes(&listener.feeds));
    let name = &listener.or(environment.listeners.first())?.name;
    listeners.iter().find(|(found, _)| found == name).map(|(_, address)| *address)
}

/// What the message just answered did: types and versions, without ids.
fn last_action(reader: &Reader) -> Result<String, String> {
    let fail = |error: crate::store::StoreError| error.to_string();
    let last = reader.message_count().map_err(fail)?;
    let filter = MessageFilter { after: last - 1, limit: 1, ..MessageFilter::default() };
    let messages = reader.messages(&filter).map_err(fail)?;
    let action = messages.first().map(|message| message.action.as_str()).unwrap_or_default();
    let short = action.split("; ").map(|part| {
        let (name, rest) = part.split_once(' ').unwrap_or((part, ""));
        let name = name.split('/').next().unwrap_or(name);
        format!("{name} {rest}").trim_end().to_owned()
    });
    Ok(short.collect::<Vec<_>>().join("; "))
}

/// Where the store differs from what the case expects.
fn compare(case: &Case, code: &str, text: &str, reader: &Reader) -> Vec<String> {
    let expected = match &case.expected {
        Ok(expected) => expected,
        Err(fault) => return vec![fault.clone()],
    };
    let mut faults = Vec::new();
    let wanted = (expected.str_at("ack.code").unwrap_or_default(), expected.str_at("ack.text").unwrap_or_default());
    if wanted != (code, text) {
        faults.push(format!("expected {} {}, found {code} {text}", wanted.0, wanted.1));
    }
    for change in expected.get("changes").and_then(Json::as_array).unwrap_or_default() {
        let name = change.str_at("resource").unwrap_or_default();
        let Some(stored) = stored(reader, name) else {
            faults.push(format!("{name} is not in the store"));
            continue;
        };
        let found = Json::object([
            ("resource", Json::string(name)),
            ("version", Json::from(i64::from(stored.version))),
            ("label", Json::string(stored.label.code())),
            ("deleted", Json::Bool(stored.deleted)),
            ("content", (*stored.body).clone()),
        ]);
        faults.extend(fixtures::differences(change, &found).into_iter().map(|line| format!("{name} {line}")));
    }
    faults
}

fn stored(reader: &Reader, name: &str) -> Option<Stored> {
    let (kind, id) = name.split_once('/')?;
    reader.resource(kind, ResourceId::parse(id)?).ok().flatten()
}

/// The records as people read them: a line per patient, and below it what is filed.
fn records(reader: &Reader, out: &mut impl Write) -> Result<(), Early> {
    let scan = |resource_type: &'static str, driver: Driver| {
        let scan = Scan { resource_type, driver, after: 0, limit: RECORDS_SHOWN_MAX + 1 };
        reader.scan(&scan).map_err(|error| Early::Told(error.to_string()))
    };
    let patients = scan("Patient", Driver::All)?;
    writeln!(out, "\nRecords in the sandbox")?;
    for patient in patients.iter().take(RECORDS_SHOWN_MAX) {
        let body = &patient.stored.body;
        let text = |path: &str| body.str_at(path).unwrap_or("-");
        writeln!(
            out,
            "\n{} {}  born {}  {}  Patient/{}",
            text("name[0].given[0]"),
            text("name[0].family"),
            text("birthDate"),
            text("identifier[0].value"),
            patient.stored.id
        )?;
        for kind in ["CareTeam", "Appointment", "Encounter", "DiagnosticReport", "Observation", "DocumentReference"] {
            for found in scan(kind, Driver::Records(vec![patient.stored.record]))? {
                writeln!(out, "    {kind:<18} {}", describe(kind, &found.stored))?;
            }
        }
    }
    if patients.len() > RECORDS_SHOWN_MAX {
        writeln!(out, "… and more; see the FHIR API")?;
    }
    Ok(())
}

/// One line about a resource.
fn describe(kind: &str, stored: &Stored) -> String {
    let body = &stored.body;
    let text = |path: &str| body.str_at(path).unwrap_or_default().to_owned();
    let parts = match kind {
        "CareTeam" => vec![text("status"), text("name"), text("identifier[0].value")],
        "Appointment" => {
            let place = body.get("participant").and_then(Json::as_array).unwrap_or_default();
            let place = place.iter().find(|one| one.str_at("id") == Some("place"));
            let place = place.and_then(|one| one.str_at("actor.display")).unwrap_or_default();
            vec![text("status"), text("start"), text("description"), place.to_owned()]
        }
        "Encounter" => vec![text("status"), text("class.code"), text("period.start"), text("period.end")],
        "DiagnosticReport" => vec![text("status"), text("category[0].coding[0].code"), text("code.text")],
        "Observation" => {
            let value = body.at("valueQuantity.value").and_then(Json::as_number).map(ToString::to_string);
            let value = value.map(|value| format!("{value} {}", text("valueQuantity.unit")));
            let value = value.unwrap_or_else(|| text("valueString").lines().next().unwrap_or_default().to_owned());
            vec![text("status"), text("code.text"), value]
        }
        _ => vec![text("status"), text("type.text"), text("description"), text("content[0].attachment.contentType")],
    };
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    format!("{} v{} [{}]", parts.join("  "), stored.version, stored.label.code())
}

fn addresses(daemon: &Daemon, folder: &std::path::Path, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "\nLook at")?;
    writeln!(out, "    http://{}/                                  status page", daemon.http)?;
    writeln!(out, "    http://{}/sandbox/fhir/Patient              FHIR R4", daemon.http)?;
    writeln!(out, "    http://{}/sandbox/fhir/metadata             what the API can do", daemon.http)?;
    writeln!(out, "    http://{}/metrics                           Prometheus", daemon.http)?;
    for environment in &daemon.environments {
        for (name, address) in &environment.listeners {
            writeln!(out, "    {address}  MLLP, {} ({name}): fairway send FILE --to {address}", environment.name)?;
        }
    }
    writeln!(out, "    {}  stores", folder.display())?;
    writeln!(out, "\nStop with Ctrl-C.")
}
