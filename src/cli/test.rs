//! `fairway test`: plays every case of `fixtures/` and shows where it came out differently, field by field.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use super::{DONE, FINDINGS, WRONG_USE, load};
use crate::fixtures::{self, Broken, Case};

/// Run the mapping tests in fixtures/
///
/// A case is a folder fixtures/FEED/CASE/ with message.hl7, the expected.json it must come to, a note.md, and
/// optionally before.hl7 with messages that are sent first.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  fairway test\n  fairway test appointments/\n  fairway test --update pathology/new-case"
)]
pub struct Args {
    /// Only cases whose name holds this text
    #[arg(value_name = "TEXT")]
    only: Option<String>,
    /// Configuration file
    #[arg(long, value_name = "FILE", default_value = "config.example.toml")]
    config: PathBuf,
    /// Folder of the cases
    #[arg(long, value_name = "FOLDER", default_value = "fixtures")]
    fixtures: PathBuf,
    /// Write what came out to expected.json instead of comparing; read the difference before you commit it
    #[arg(long)]
    update: bool,
}

/// Runs the command.
///
/// # Errors
/// When standard output or an expected.json cannot be written.
pub fn run(args: &Args, out: &mut impl Write) -> io::Result<u8> {
    let config = match load(&args.config) {
        Ok(config) => config,
        Err(code) => return Ok(code),
    };
    let mut cases = match fixtures::read(&args.fixtures) {
        Ok(cases) => cases,
        Err(error) => {
            eprintln!("error: {error}");
            return Ok(WRONG_USE);
        }
    };
    if let Some(only) = &args.only {
        cases.retain(|case| name(case).contains(only.as_str()));
    }
    if cases.is_empty() {
        eprintln!("error: no case found in {}", args.fixtures.display());
        return Ok(WRONG_USE);
    }
    let mut failed = 0;
    for case in &cases {
        let played = case.as_ref().map_err(|broken| broken.fault.clone());
        let played = played.and_then(|case| Ok((case, fixtures::play(&config.feeds, case)?)));
        let lines = match played {
            Err(text) => vec![text],
            Ok((case, found)) if args.update => {
                let value: serde_json::Value = found.into();
                let mut text = serde_json::to_string_pretty(&value).map_err(io::Error::other)?;
                text.push('\n');
                fs::write(case.folder.join("expected.json"), text)?;
                Vec::new()
            }
            Ok((case, found)) => match &case.expected {
                Ok(expected) => fixtures::differences(expected, &found),
                Err(fault) => vec![fault.clone()],
            },
        };
        if lines.is_empty() {
            continue;
        }
        failed += 1;
        writeln!(out, "{}", name(case))?;
        for line in lines {
            writeln!(out, "    {line}")?;
        }
    }
    writeln!(out, "{} passed, {failed} failed", cases.len() - failed)?;
    Ok(if failed == 0 { DONE } else { FINDINGS })
}

fn name(case: &Result<Case, Broken>) -> &str {
    case.as_ref().map_or_else(|broken| &broken.name, |case| &case.name)
}
