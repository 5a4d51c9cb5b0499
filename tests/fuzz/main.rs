//! Fuzzing of everything that reads bytes from outside: each target of `targets.rs` on its seeds and on mutations of them.
//!
//! `cargo test` gives each target one second. `FAIRWAY_FUZZ_SECONDS=300 cargo test -p fairway-core --test fuzz framing --
//! --nocapture` goes on for longer, and differently each time. An input that fails is shortened and written to a file;
//! moved to `seeds/<target>/` it stays a regression test. The same targets run guided by coverage in `guided/`.

#![allow(clippy::unwrap_used)]

mod mutate;
mod targets;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mutate::Mutator;

/// How long each target runs in a plain `cargo test`, in seconds.
const SECONDS_DEFAULT: u64 = 1;
/// Attempts to shorten an input that fails.
const SHORTENINGS_MAX: usize = 2_000;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz")
}

/// The seeds of a target in order of their names. Parsing starts from the third-party messages, too.
fn seeds(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let mut folders = vec![folder().join("seeds").join(target)];
    if matches!(target, "parse" | "batch") {
        folders.push(folder().join("../corpus"));
    }
    let entries = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap()).map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = entries.filter(|path| path.extension().is_none_or(|ending| ending != "md")).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

fn fails(target: fn(&[u8]), input: &[u8]) -> bool {
    catch_unwind(AssertUnwindSafe(|| target(input))).is_err()
}

/// Takes pieces out of an input for as long as it still fails.
fn shorten(target: fn(&[u8]), mut input: Vec<u8>) -> Vec<u8> {
    let (mut attempts, mut piece) = (0, input.len() / 2);
    while piece > 0 && attempts < SHORTENINGS_MAX {
        let mut at = 0;
        while at < input.len() && attempts < SHORTENINGS_MAX {
            attempts += 1;
            let shorter = [&input[..at], &input[(at + piece).min(input.len())..]].concat();
            if fails(target, &shorter) { input = shorter } else { at += piece }
        }
        piece /= 2;
    }
    input
}

fn run(name: &str, target: fn(&[u8])) {
    let seeds = seeds(name);
    assert!(!seeds.is_empty(), "{name} has no seeds");
    for (path, seed) in &seeds {
        assert!(!fails(target, seed), "the seed {} fails", path.display());
    }
    let asked = std::env::var("FAIRWAY_FUZZ_SECONDS").ok().map(|text| text.parse().unwrap());
    // What runs before each commit is the same each time.
    let start = asked.map_or(1, |_: u64| SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64);
    let mut mutator = Mutator::new(start, seeds.into_iter().map(|(_, seed)| seed).collect());
    let (started, budget) = (Instant::now(), Duration::from_secs(asked.unwrap_or(SECONDS_DEFAULT)));
    let mut executions = 0_u64;
    while started.elapsed() < budget {
        let input = mutator.next();
        executions += 1;
        if fails(target, &input) {
            let input = shorten(target, input);
            let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{start:x}-{executions}"));
            fs::write(&path, &input).unwrap();
            fails(target, &input); // so that the last panic told is that of the short input
            panic!("{name} fails after {executions} executions on {} ({})", path.display(), input.escape_ascii());
        }
    }
    println!("{name}: {executions} executions in {} s, start {start:#x}", budget.as_secs());
}

/// One test for each target, so that one can be run alone, and the list that the others need.
macro_rules! tests {
    ($($name:ident)*) => {
        $(#[test] fn $name() { run(stringify!($name), targets::$name); })*
        const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

// A new target (another file format, say): a function in `targets.rs`, its name here, some seeds in
// `seeds/<name>/`, and a `[[bin]]` in `guided/Cargo.toml`.
tests!(framing parse acknowledgements paths escapes timestamps charset batch enveloped soap);

#[test]
fn every_target_can_be_guided() {
    let manifest = fs::read_to_string(folder().join("guided/Cargo.toml")).unwrap();
    let binaries: Vec<&str> =
        manifest.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"')).collect();
    assert_eq!(&binaries[1..], NAMES, "one [[bin]] for each target, in their order");
}
