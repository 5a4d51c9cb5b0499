//! `fairway show`: a message as a tree, with names, decoded values and what is wrong with it.
//!
//! Shows what stands in the file, patient data included, and nothing else: no feed, mapping or store is asked.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

use bytes::Bytes;
use fairway_core::hl7v2::dictionary::Version;
use fairway_core::hl7v2::{Message, ParseOptions, Path, SegmentName, Structure};
use serde_json::json;

use super::messages::{self, Found};
use super::{DONE, FINDINGS, WRONG_USE};

mod findings;
mod json;
mod node;
mod page;
mod tree;

use findings::Finding;
use node::{Labels, Node};
use page::{Ink, Page};
use tree::Tree;

/// Columns of a page that is no terminal's.
const WIDTH_DEFAULT: usize = 100;

/// Show HL7 v2 messages as a tree with names, decoded values and findings
///
/// Files may hold one message, several, a batch, or MLLP frames; - is standard input. Lines that no MSH leads are shown as
/// a message that cannot be read, and what is wrong with a batch's envelope with its first message. Names are those of the message's
/// version (MSH-12). Empty fields are left out, "" is shown as null, times and codes of HL7's own tables are explained
/// behind the value. Places with a finding are marked with ! and listed below the message.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  fairway show message.hl7
  fairway show --path 'PID-3[NHS].1' adt/*.hl7
  fairway show --path 'OBX[*]-5' --json results.hl7 | jq -r .value
  pbpaste | fairway show -

A path gives what it gives in a mapping: PID-3 the first repetition, PID-3[*] every one, OBX[*]-5 that of every OBX.
A segment's name alone gives every segment of that name.

JSON: one object on one line per message, nothing shortened; keys may be added, but never change:
  source, controlId, type, version, names (the version the names are of), charset, bytes,
  segments: [{segment, occurrence, name, groups: [text], fields: [node]}],
  findings: [{path, text}]
A node is a repetition of a field, a component or a subcomponent: {path, name, type} with either value (null for \"\")
and perhaps meaning, or parts: [node]. What is not known is null. Of a line that is no segment, segment is null and
fields holds its text. With --path there is one line for each node: {source, controlId, …node}, or for each segment.

Exit code: 0 no findings (with --path: something found), 1 findings (nothing found), 2 wrong use.")]
pub struct Args {
    /// Files or folders with messages, or - for standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Show only what this path gives, as in PID-3.1, OBX[*]-5 or PV1
    #[arg(long, value_name = "PATH", value_parser = Wanted::parse)]
    path: Option<Wanted>,
    /// Print JSON for programs
    #[arg(long)]
    json: bool,
    /// Show long values whole
    #[arg(long)]
    full: bool,
    /// Columns of a line [default: the terminal's, else 100]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(20..))]
    width: Option<u16>,
    /// When to use colour; auto: on a terminal, unless NO_COLOR is set
    #[arg(long, visible_alias = "colour", value_name = "WHEN", default_value = "auto")]
    color: Colour,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Colour {
    Auto,
    Always,
    Never,
}

/// What `--path` asks for.
#[derive(Clone, Debug)]
enum Wanted {
    Segments(SegmentName),
    Values(Path),
}

impl Wanted {
    fn parse(text: &str) -> Result<Wanted, String> {
        match SegmentName::parse(text) {
            Some(name) => Ok(Wanted::Segments(name)),
            None => match Path::parse(text) {
                Ok(path) if path.segment.is_some() => Ok(Wanted::Values(path)),
                Ok(_) => Err("the path names no segment; write one as in PID-3.1".to_owned()),
                Err(error) => Err(error.to_string()),
            },
        }
    }
}

/// A message to show.
struct Shown {
    /// File, and the number of the message in it from the second on.
    source: String,
    content: Content,
    findings: Vec<Finding>,
}

enum Content {
    /// Bytes that are no message.
    Unreadable(Bytes),
    Message {
        message: Message,
        /// Whose names are shown.
        version: Version,
    },
}

impl Shown {
    fn of(found: Found) -> Shown {
        let source = messages::source(&found);
        let whole = |text: String| Finding { place: None, text: text.into() };
        let mut findings: Vec<Finding> = found.envelope.into_iter().map(whole).collect();
        let content = match Message::parse(found.bytes.clone(), &ParseOptions::default()) {
            Err(error) => {
                findings.push(whole(error.to_string()));
                Content::Unreadable(found.bytes)
            }
            Ok(message) => {
                let version = Version::of(&message.version());
                findings.extend(findings::of(&message, &Labels::of(&message), version));
                Content::Message { message, version }
            }
        };
        Shown { source, content, findings }
    }
}

/// Runs the command.
///
/// # Errors
/// When standard output cannot be written.
pub fn run(args: &Args, out: &mut impl Write) -> io::Result<u8> {
    let found = match messages::read(&args.files, messages::Blank::Kept) {
        Ok(found) => found,
        Err((path, error)) => {
            eprintln!("error: cannot read {}: {error}", page::shown(&path.to_string_lossy()));
            return Ok(WRONG_USE);
        }
    };
    let terminal = io::stdout().is_terminal();
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let colour = match args.color {
        Colour::Auto => terminal && !no_colour,
        Colour::Always => true,
        Colour::Never => false,
    };
    let columns = console::Term::stdout().size_checked().filter(|_| terminal).map(|(_, columns)| columns);
    let width = args.width.or(columns).map_or(WIDTH_DEFAULT, usize::from);
    let mut page = Page { out, width, colour, full: args.full };
    let several = found.len() > 1;
    let mut findings = args.path.is_some();
    for message in found {
        let shown = Shown::of(message);
        match &args.path {
            Some(wanted) => findings &= !only(&shown, wanted, args.json, several, &mut page)?,
            None => {
                findings |= !shown.findings.is_empty();
                if args.json { json::message(&shown, page.out)? } else { tree::message(&shown, &mut page)? }
            }
        }
    }
    Ok(if findings { FINDINGS } else { DONE })
}

/// Prints what a path gives, and tells whether that is anything.
fn only<W: Write>(
    shown: &Shown,
    wanted: &Wanted,
    json: bool,
    several: bool,
    page: &mut Page<'_, W>,
) -> io::Result<bool> {
    let Content::Message { message, version } = &shown.content else { return Ok(false) };
    let labels = &Labels::of(message);
    let places = shown.findings.iter().filter_map(|finding| finding.place.as_deref()).collect();
    let tree = Tree { labels, places, version: *version };
    let structure = Structure::of(message);
    let mut any = false;
    let mut heading = |page: &mut Page<'_, W>| match std::mem::replace(&mut any, true) {
        false if several && !json => page.line(&shown.source, Ink::Dim),
        _ => Ok(()),
    };
    let about = json::open(&json!({"source": shown.source, "controlId": message.control_id()}));
    match wanted {
        Wanted::Segments(name) => {
            for segment in message.named(name.as_str()) {
                heading(page)?;
                if json {
                    write!(page.out, "{about},")?;
                    json::one_segment(segment, &structure, &tree, page.out)?;
                    writeln!(page.out, "}}")?;
                } else {
                    tree.segment(segment, &groups(&structure, segment.index()), page)?;
                }
            }
        }
        Wanted::Values(path) => {
            // The value is looked for in its repetition: from the segment on, each would cost as much as all before it.
            let whole = Path { component: None, subcomponent: None, ..path.clone() };
            for repetition in whole.in_message(message) {
                let value = path.in_value(repetition);
                let Some(segment) = value.segment().filter(|_| !value.is_empty()) else { continue };
                let node = Node::of_value(segment, repetition, value, *version);
                heading(page)?;
                if json {
                    write!(page.out, "{about},")?;
                    json::one_node(&node, segment, labels, page.out)?;
                    writeln!(page.out, "}}")?;
                } else {
                    tree.value(segment, &node, 0, page)?;
                }
            }
        }
    }
    Ok(any)
}

/// The names of the groups that a segment is in, the outermost first.
fn groups(structure: &Structure, segment: usize) -> Vec<&'static str> {
    let mut names = Vec::new();
    let mut group = structure.group_of(segment);
    while let Some(around) = structure.parent(group) {
        names.push(structure.name(group));
        group = around;
    }
    names.reverse();
    names
}
