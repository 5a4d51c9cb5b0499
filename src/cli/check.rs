//! `fairway check`: reads the configuration with all its feeds, mappings and code sets and tells every problem.

use std::io::{self, Write};
use std::path::PathBuf;

use fairway_core::source::Problem;
use jiff::Timestamp;

use super::{DONE, FINDINGS, problems};
use crate::config::Config;

/// Check the configuration, feeds, mappings and code sets without starting anything
///
/// Every problem of every file is shown in one run, with its line and a hint. A warning, such as an expired certificate,
/// leaves the exit code at 0.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  fairway check --config config.example.toml")]
pub struct Args {
    /// Configuration file
    #[arg(long, value_name = "FILE", default_value = "config.example.toml")]
    config: PathBuf,
    /// Print the problems as a JSON array
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// When standard output cannot be written.
pub fn run(args: &Args, out: &mut impl Write) -> io::Result<u8> {
    let result = Config::load(&args.config);
    let warnings = result.as_ref().map(|config| config.warnings(Timestamp::now())).unwrap_or_default();
    if args.json {
        let found = result.as_ref().err().map(Vec::as_slice).unwrap_or_default();
        let errors = found.iter().map(|problem| as_json(problem, "error"));
        let list = errors.chain(warnings.iter().map(|problem| as_json(problem, "warning")));
        writeln!(out, "{}", serde_json::Value::Array(list.collect()))?;
        return Ok(if found.is_empty() { DONE } else { FINDINGS });
    }
    match result {
        Ok(config) => {
            problems::print_warnings(&warnings);
            let listeners: usize = config.environments.iter().map(|one| one.listeners.len()).sum();
            writeln!(
                out,
                "{}: no problem found ({} feeds, {} mappings, {listeners} listeners)",
                args.config.display(),
                config.feeds.len(),
                config.plans.len()
            )?;
            Ok(DONE)
        }
        Err(found) => {
            problems::print(&found);
            Ok(FINDINGS)
        }
    }
}

fn as_json(problem: &Problem, level: &str) -> serde_json::Value {
    let (line, column) = problem.place.as_ref().map(|place| place.line_and_column()).unzip();
    serde_json::json!({
        "file": problem.place.as_ref().map(|place| place.source.name.as_str()),
        "line": line,
        "column": column,
        "level": level,
        "message": problem.message,
        "hint": problem.hint,
    })
}
