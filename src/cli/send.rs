//! `fairway send`: plays files to an MLLP receiver and reports what it answered.
//!
//! Never sends again what was answered, never reorders one patient's messages, and judges nothing but the ACK code.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, IsTerminal, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::{Instant, sleep_until};

use super::messages::{self, Found};
use crate::mllp::client::{Target, ack_code, ack_text, beginning, control_id_of, field, readable};
use crate::mllp::link::{Link, LinkError};
use crate::tls::{self, ClientConfig, Part, ServerName};

/// Answers other than `AA` and `CA`, and failures, that the report shows in full.
const SHOWN_MAX: usize = 5;

/// Longest code of an answer that the report shows, in characters.
const CODE_CHARS_MAX: usize = 20;
/// Different codes that are counted on their own; answers with others count together.
const CODES_MAX: usize = 20;
/// What those others are called.
const OTHER_CODES: &str = "others";
/// Longest control id and file name that the report shows, in characters.
const NAME_CHARS_MAX: usize = 200;
/// Longest reason that the report shows, in characters.
const TEXT_CHARS_MAX: usize = 1000;

/// Exit code when every message was answered `AA` or `CA`.
const ALL_ACCEPTED: u8 = 0;
/// Exit code when some message was not.
const SOME_NOT: u8 = 1;
/// Exit code when the command cannot be carried out as given.
const WRONG_USE: u8 = 2;

/// Send HL7 v2 messages over MLLP and count the answers.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  fairway send fixtures/ --to 127.0.0.1:2575 --connections 4 --rate 200
  fairway send a28.hl7 --to pas.example:2576 --tls --ca ca.pem --cert sender.pem --key sender.key --retry 60

A file may hold one message or many: each MSH segment starts one, batch headers and trailers are left out, and line
ends become CR. Lines before the first MSH are sent as a message of their own, as they are. A file that starts with the
MLLP byte VT is sent frame by frame as it is. Counts of a batch that are not what the file holds are told.

Messages of one patient (PID-3.1) keep their order, because they all take the same connection; messages without a PID
take the first. With one connection the order of the files is kept.

Of two acknowledgements that MSH-16 asks for (CA, then AA, AE or AR) the second counts, when it comes. A message with the
control id of one that was just answered goes over a connection of its own, since that answer may come once more.

With --retry, a message whose connection fails, breaks or stays silent is sent again with the same bytes over a new one,
after pauses that grow from 0.2 to 5 seconds; one that was answered never is. Each message counts once, and its latency
is that of the sending that was answered.

Exit code: 0 all answered AA or CA, 1 some not, 2 wrong use.")]
pub struct Args {
    /// Files, or folders in which every *.hl7 file is taken
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Receiver
    #[arg(long, value_name = "HOST:PORT")]
    pub to: String,
    /// Connections to use at once
    #[arg(long, value_name = "N", default_value = "1")]
    pub connections: NonZeroUsize,
    /// Messages per second over all connections [default: as fast as they are answered]
    #[arg(long, value_name = "MSGS_PER_S", value_parser = rate)]
    pub rate: Option<f64>,
    /// Send everything so many times, byte for byte the same
    #[arg(long, value_name = "N", default_value = "1")]
    pub repeat: NonZeroUsize,
    /// Seconds to wait for a connection and for each answer
    #[arg(long, value_name = "SECONDS", default_value = "30")]
    pub timeout: NonZeroUsize,
    /// Seconds in which a message without an answer is tried again, from its first failure on [default: not at all]
    #[arg(long, value_name = "SECONDS", default_value = "0", hide_default_value = true)]
    pub retry: u32,
    /// Use TLS 1.2 or 1.3
    #[arg(long, requires = "ca")]
    pub tls: bool,
    /// Certificates (PEM) of the authorities of which the receiver's certificate must be
    #[arg(long, value_name = "FILE", requires = "tls")]
    pub ca: Option<PathBuf>,
    /// Our certificate (PEM) with its chain, for receivers that ask for one
    #[arg(long, value_name = "FILE", requires_all = ["tls", "key"])]
    pub cert: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,
    /// Name that the receiver's certificate must have [default: the host of --to]
    #[arg(long, value_name = "NAME", requires = "tls")]
    pub server_name: Option<String>,
    /// Report as JSON
    #[arg(long)]
    pub json: bool,
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    // Slower than one message a day is a slip.
    if rate.is_finite() && rate >= 1.0 / 86_400.0 { Ok(rate) } else { Err("must be more than 0".to_owned()) }
}

/// What came of it. The JSON report has these names.
#[derive(Debug, Default, serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    /// Messages to send.
    messages: usize,
    /// Messages by the code of their answer (MSA-1).
    codes: BTreeMap<String, usize>,
    /// Messages without an answer.
    unanswered: usize,
    /// Connections opened anew after one that was lost.
    reconnects: usize,
    /// How often a message was sent again.
    resent: usize,
    seconds: f64,
    messages_per_second: f64,
    latency_ms: Latency,
    /// The first few that were not accepted.
    not_accepted: Vec<NotAccepted>,
}

/// From the first byte of the sending that was answered to the whole answer, in milliseconds.
#[derive(Debug, Default, serde::Serialize)]
struct Latency {
    p50: f64,
    p90: f64,
    p99: f64,
    max: f64,
}

#[derive(Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct NotAccepted {
    source: String,
    control_id: String,
    /// MSA-1; missing when there was no answer.
    code: Option<String>,
    /// MSA-3 or ERR-8, or why there is no answer.
    text: String,
}

/// Sends the files, writes the report to `out` and gives the exit code. Problems of use go to standard error.
///
/// # Errors
/// When `out` cannot be written.
pub async fn run(args: Args, out: &mut impl Write) -> io::Result<u8> {
    let found = match messages::read(&args.files, messages::Blank::Skipped) {
        Ok(found) => found,
        Err((path, error)) => return wrong_use(&format!("{}: {error}", path.display())),
    };
    for (one, finding) in found.iter().flat_map(|one| one.envelope.iter().map(move |finding| (one, finding))) {
        writeln!(io::stderr(), "fairway send: {}: {finding}", shown(&one.path.to_string_lossy(), NAME_CHARS_MAX))?;
    }
    let tls = match tls(&args) {
        Ok(tls) => tls,
        Err(problem) => return wrong_use(&problem),
    };
    let timeout = Duration::from_secs(args.timeout.get() as u64);
    let target = Target { address: args.to.clone(), timeout, tls };
    let lanes = lanes(&found, args.connections.get());
    let total = found.len().saturating_mul(args.repeat.get());
    let run = Arc::new(Run {
        target,
        found,
        began: Instant::now(),
        next: AtomicU64::new(0),
        unreachable: AtomicBool::new(false),
        bar: bar(total as u64),
        args,
    });
    let sending: Vec<_> = lanes.into_iter().map(|lane| tokio::spawn(Arc::clone(&run).send(lane))).collect();
    let mut tally = Tally::default();
    for lane in sending {
        tally.add(lane.await.map_err(io::Error::other)?);
    }
    run.bar.finish_and_clear();
    let report = tally.report(total, run.began.elapsed());
    write(&report, run.args.json, out)?;
    let accepted: usize = ["AA", "CA"].iter().filter_map(|code| report.codes.get(*code)).sum();
    Ok(if accepted == total { ALL_ACCEPTED } else { SOME_NOT })
}

fn wrong_use(problem: &str) -> io::Result<u8> {
    writeln!(io::stderr(), "fairway send: {}", shown(problem, TEXT_CHARS_MAX))?;
    Ok(WRONG_USE)
}

/// What a file or a peer says, as a terminal may have it: with control characters and those that turn the direction of
/// text around escaped, up to a length.
fn shown(text: &str, chars_max: usize) -> String {
    let mut shown = String::new();
    for (at, c) in text.chars().enumerate() {
        match c {
            _ if at == chars_max => {
                shown.push('…');
                break;
            }
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                shown.extend(c.escape_default())
            }
            c if c.is_control() => shown.extend(c.escape_default()),
            c => shown.push(c),
        }
    }
    shown
}

/// TLS as the arguments want it, and the name that the receiver must have.
fn tls(args: &Args) -> Result<Option<(Arc<ClientConfig>, ServerName<'static>)>, String> {
    let Some(ca) = &args.ca else { return Ok(None) };
    let read = |path: &Path| std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
    let trusted = read(ca)?;
    let identity = match (&args.cert, &args.key) {
        (Some(certificate), Some(key)) => Some((read(certificate)?, read(key)?)),
        (_, _) => None,
    };
    let pem = identity.as_ref().map(|(certificate, key)| (&certificate[..], &key[..]));
    let config = tls::client(&trusted, pem).map_err(|fault| {
        let option = match fault.part {
            Part::Certificate => "--cert",
            Part::Key => "--key",
            Part::Authorities => "--ca",
        };
        format!("{option}: {fault}; {}", fault.hint)
    })?;
    let host = args.to.rsplit_once(':').map_or(args.to.as_str(), |(host, _)| host);
    let name = args.server_name.as_deref().unwrap_or(host.trim_start_matches('[').trim_end_matches(']'));
    let name = ServerName::try_from(name.to_owned()).map_err(|_| format!("--server-name: `{name}` is no host name"))?;
    Ok(Some((config, name)))
}

fn bar(total: u64) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {per_sec} {eta} {msg}");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Indices into `found` for each connection, in order; connections without a message are left out.
fn lanes(found: &[Found], connections: usize) -> Vec<Vec<usize>> {
    let mut lanes = vec![Vec::new(); connections.min(found.len())];
    let count = lanes.len() as u64;
    for (at, found) in found.iter().enumerate() {
        let lane = patient(&readable(&found.bytes)).map_or(0, |patient| {
            let mut hasher = DefaultHasher::new();
            patient.hash(&mut hasher);
            hasher.finish() % count
        });
        lanes[lane as usize].push(at);
    }
    lanes.retain(|lane| !lane.is_empty());
    lanes
}

/// PID-3.1 of the first repetition.
fn patient(message: &[u8]) -> Option<&[u8]> {
    let identifiers = field(message, b"PID", 3)?;
    let [component, repetition] = [4, 5].map(|at| beginning(message).get(at).copied());
    let end = identifiers.iter().position(|&byte| Some(byte) == component || Some(byte) == repetition);
    identifiers.get(..end.unwrap_or(identifiers.len()))
}

/// What all connections share.
struct Run {
    target: Target,
    args: Args,
    found: Vec<Found>,
    began: Instant,
    /// Messages started, for the rate.
    next: AtomicU64,
    /// The receiver took no connection: nobody tries again.
    unreachable: AtomicBool,
    bar: ProgressBar,
}

impl Run {
    async fn send(self: Arc<Self>, lane: Vec<usize>) -> Tally {
        let retry = Duration::from_secs(self.args.retry.into());
        let (mut tally, mut link) = (Tally::default(), Link::new(self.target.clone(), retry));
        'all: for _ in 0..self.args.repeat.get() {
            for found in lane.iter().filter_map(|&at| self.found.get(at)) {
                if self.unreachable.load(Ordering::Relaxed) {
                    break 'all;
                }
                self.pace().await;
                self.send_one(found, &mut link, &mut tally).await;
                self.bar.inc(1);
            }
        }
        (tally.reconnects, tally.resent) = (link.reconnects(), link.resent());
        link.close().await;
        tally
    }

    /// Waits for the next message's turn.
    async fn pace(&self) {
        if let Some(rate) = self.args.rate {
            let turn = self.next.fetch_add(1, Ordering::Relaxed);
            sleep_until(self.began + Duration::from_secs_f64((turn as f64 / rate).min(1e9))).await;
        }
    }

    async fn send_one(&self, found: &Found, link: &mut Link, tally: &mut Tally) {
        match link.send(&found.bytes).await {
            Ok(answer) => {
                tally.micros.push(u32::try_from(answer.took.as_micros()).unwrap_or(u32::MAX));
                let code = shown(ack_code(&answer.ack).unwrap_or("none"), CODE_CHARS_MAX);
                tally.count(code.clone(), 1);
                if code != "AA" && code != "CA" {
                    tally.refused(found, Some(code), ack_text(&answer.ack).unwrap_or_default());
                }
            }
            Err(error) => {
                if let LinkError::Unreachable { .. } = error {
                    self.unreachable.store(true, Ordering::Relaxed);
                }
                tally.refused(found, None, error.to_string());
            }
        }
    }
}

/// What one connection has seen; four bytes for each message.
#[derive(Default)]
struct Tally {
    codes: BTreeMap<String, usize>,
    micros: Vec<u32>,
    reconnects: usize,
    resent: usize,
    not_accepted: Vec<NotAccepted>,
}

impl Tally {
    fn count(&mut self, code: String, answers: usize) {
        let known = self.codes.len() < CODES_MAX || self.codes.contains_key(&code);
        let code = if known || code == "AA" || code == "CA" { code } else { OTHER_CODES.to_owned() };
        *self.codes.entry(code).or_default() += answers;
    }

    fn refused(&mut self, found: &Found, code: Option<String>, text: String) {
        if self.not_accepted.len() < SHOWN_MAX {
            let source = format!("{}:{}", shown(&found.path.to_string_lossy(), NAME_CHARS_MAX), found.number);
            let control_id = shown(&control_id_of(&found.bytes).unwrap_or_default(), NAME_CHARS_MAX);
            let text = shown(&text, TEXT_CHARS_MAX);
            self.not_accepted.push(NotAccepted { source, control_id, code, text });
        }
    }

    fn add(&mut self, other: Tally) {
        for (code, count) in other.codes {
            self.count(code, count);
        }
        self.micros.extend(other.micros);
        self.reconnects += other.reconnects;
        self.resent += other.resent;
        self.not_accepted.extend(other.not_accepted);
        self.not_accepted.truncate(SHOWN_MAX);
    }

    fn report(mut self, messages: usize, took: Duration) -> Report {
        self.micros.sort_unstable();
        let at = |share: f64| {
            let rank = (share * self.micros.len() as f64).ceil() as usize;
            self.micros.get(rank.saturating_sub(1)).map_or(0.0, |&micros| f64::from(micros) / 1000.0)
        };
        let (answered, seconds) = (self.micros.len(), took.as_secs_f64());
        Report {
            messages,
            unanswered: messages - answered,
            reconnects: self.reconnects,
            resent: self.resent,
            seconds,
            messages_per_second: answered as f64 / seconds.max(1e-6),
            latency_ms: Latency { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1.0) },
            codes: self.codes,
            not_accepted: self.not_accepted,
        }
    }
}

fn write(report: &Report, json: bool, out: &mut impl Write) -> io::Result<()> {
    if json {
        serde_json::to_writer(&mut *out, report)?;
        return writeln!(out);
    }
    let codes: Vec<String> = report.codes.iter().map(|(code, count)| format!("{code} {count}")).collect();
    let Latency { p50, p90, p99, max } = report.latency_ms;
    writeln!(out, "messages    {} ({} unanswered)", report.messages, report.unanswered)?;
    if report.reconnects > 0 {
        writeln!(out, "reconnects  {} ({} messages sent again)", report.reconnects, report.resent)?;
    }
    writeln!(out, "answers     {}", codes.join(", "))?;
    writeln!(out, "rate        {:.0} messages/s in {:.2} s", report.messages_per_second, report.seconds)?;
    writeln!(out, "latency     p50 {p50:.2} ms, p90 {p90:.2} ms, p99 {p99:.2} ms, max {max:.2} ms")?;
    for NotAccepted { source, control_id, code, text } in &report.not_accepted {
        writeln!(out, "{} {source} (MSH-10 {control_id}): {text}", code.as_deref().unwrap_or("--"))?;
    }
    Ok(())
}
