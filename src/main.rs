//! The `fairway` command. Reads the arguments and hands over to one file per command; does nothing itself.

use std::io;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use fairway::cli::send;

/// HL7 v2 to FHIR R4 integration engine for patient-held records.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Send(send::Args),
}

#[tokio::main]
async fn main() -> io::Result<ExitCode> {
    let code = match Cli::parse().command {
        Command::Send(args) => send::run(args, &mut io::stdout()).await?,
    };
    Ok(ExitCode::from(code))
}
