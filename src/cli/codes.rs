//! `fairway codes`: what the code sets of the mappings hold.

use std::io::{self, Write};
use std::path::PathBuf;

use fairway_core::mapping::{CodeSet, Entry};

use super::{DONE, FINDINGS, WRONG_USE, load_or_built_in};

/// Show the code sets of the mappings, or search them
///
/// Without a name every code set with its number of codes; with one its codes and what they become. --find looks for a
/// text in codes, values and displays, whatever its case.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  fairway codes\n  fairway codes patient-class\n  fairway codes --find female\n  fairway codes document-type --find letter --json"
)]
pub struct Args {
    /// Name of a code set
    #[arg(value_name = "SET")]
    set: Option<String>,
    /// Only codes that hold this text
    #[arg(long, value_name = "TEXT")]
    find: Option<String>,
    /// Configuration file; without it config.toml or config.example.toml here, else the built-in example
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print a JSON array
    #[arg(long)]
    json: bool,
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
    let mut sets: Vec<&CodeSet> = config.code_sets.iter().map(AsRef::as_ref).collect();
    sets.sort_by(|left, right| left.name.cmp(&right.name));
    if let Some(name) = &args.set {
        let names: Vec<&str> = sets.iter().map(|set| set.name.as_str()).collect();
        if !names.contains(&name.as_str()) {
            eprintln!("error: there is no code set `{name}`\n\nhint: one of: {}", names.join(", "));
            return Ok(WRONG_USE);
        }
        sets.retain(|set| set.name == *name);
    }
    if args.set.is_none() && args.find.is_none() && !args.json {
        let widest = sets.iter().map(|set| set.name.len()).max().unwrap_or_default();
        for set in sets {
            let codes = set.entries().count();
            writeln!(out, "{:widest$}  {codes:>4} {}", set.name, if codes == 1 { "code" } else { "codes" })?;
        }
        return Ok(DONE);
    }
    let wanted = args.find.as_ref().map(|text| text.to_lowercase());
    let mut found: Vec<(&str, &str, &Entry)> = Vec::new();
    for set in sets {
        let mut entries: Vec<(&str, &Entry)> = set.entries().collect();
        entries.sort_by_key(|(_, entry)| entry.place.span.start);
        found.extend(
            entries
                .into_iter()
                .filter(|(code, entry)| holds(code, entry, wanted.as_deref()))
                .map(|(code, entry)| (set.name.as_str(), code, entry)),
        );
    }
    if args.json {
        let rows = found.iter().map(|(set, code, entry)| as_json(set, code, entry)).collect();
        writeln!(out, "{}", serde_json::Value::Array(rows))?;
    } else {
        print(&found, out)?;
    }
    Ok(if found.is_empty() { FINDINGS } else { DONE })
}

fn holds(code: &str, entry: &Entry, wanted: Option<&str>) -> bool {
    let Some(wanted) = wanted else { return true };
    let texts = [Some(code), Some(entry.value.as_str()), entry.display.as_deref()];
    texts.into_iter().flatten().any(|text| text.to_lowercase().contains(wanted))
}

fn print(found: &[(&str, &str, &Entry)], out: &mut impl Write) -> io::Result<()> {
    let widest = |cell: fn(&(&str, &str, &Entry)) -> usize| found.iter().map(cell).max().unwrap_or_default();
    let code_width = widest(|(_, code, _)| code.chars().count());
    let value_width = widest(|(_, _, entry)| entry.value.chars().count());
    let mut heading = "";
    for (set, code, entry) in found {
        if heading != *set {
            writeln!(out, "{set}")?;
            heading = set;
        }
        let display = entry.display.as_deref().unwrap_or_default();
        let system = entry.system.as_ref().map(|system| format!("  ({system})")).unwrap_or_default();
        let line = format!("  {code:code_width$}  {:value_width$}  {display}{system}", entry.value);
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

fn as_json(set: &str, code: &str, entry: &Entry) -> serde_json::Value {
    serde_json::json!({
        "set": set,
        "code": code,
        "value": entry.value,
        "system": entry.system,
        "display": entry.display,
        "file": entry.place.source.name,
        "line": entry.place.line_and_column().0,
    })
}
