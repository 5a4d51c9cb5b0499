//! The `fairway` command. Reads the arguments and hands over to one file per command; does nothing itself.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use fairway::cli::{check, codes, convert, demo, run, schema, send, show, test};

/// HL7 v2 / FHIR R4 integration engine for patient-held records
#[derive(Parser)]
#[command(version, after_help = "Start here:\n  fairway demo\n  fairway run --config config.example.toml")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(run::Args),
    Demo(demo::Args),
    Check(check::Args),
    Codes(codes::Args),
    Convert(convert::Args),
    Schema(schema::Args),
    Show(show::Args),
    Test(test::Args),
    Send(send::Args),
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut out = BufWriter::new(io::stdout());
    let done = match cli.command {
        Command::Run(args) => run::run(&args).await,
        Command::Demo(args) => demo::run(&args, &mut out).await,
        Command::Check(args) => check::run(&args, &mut out),
        Command::Codes(args) => codes::run(&args, &mut out),
        Command::Convert(args) => convert::run(&args, &mut out),
        Command::Schema(args) => schema::run(&args, &mut out),
        Command::Show(args) => show::run(&args, &mut out),
        Command::Test(args) => test::run(&args, &mut out),
        Command::Send(args) => send::run(args, &mut io::stdout()).await,
    };
    match done.and_then(|code| out.flush().map(|()| code)) {
        Ok(code) => ExitCode::from(code),
        // Whoever read our output has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}
