//! Parse, map and check on one core: messages/s of a 1 KB ADT and a 20-result ORU, beside parsing alone.
//!
//! `cargo bench --bench translate [SECONDS] [ADT|ORU]`. Never a test: it sets no threshold.

#![allow(clippy::unwrap_used, missing_docs)]

mod messages;

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fairway::config::Config;
use fairway::intake::{Content, now_micros, prepare};
use fairway_core::fhir;
use fairway_core::hl7v2::{Message, ParseOptions};
use fairway_core::record::{View, decide, preview};

fn rate(budget: Duration, mut run: impl FnMut()) -> f64 {
    for _ in 0..200 {
        run();
    }
    let (started, mut count) = (Instant::now(), 0_u32);
    while started.elapsed() < budget {
        for _ in 0..100 {
            run();
        }
        count += 100;
    }
    f64::from(count) / started.elapsed().as_secs_f64()
}

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let seconds = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(2);
    let only = std::env::args().skip(1).find(|argument| argument == "ADT" || argument == "ORU");
    let budget = Duration::from_secs(seconds);
    let config = Config::built_in().unwrap();
    let now = now_micros();
    for (name, message) in
        [("ADT 1 KB", messages::adt("A31", 1, "C1", 1)), ("ORU 20 results", messages::oru(1, "C2", 1))]
    {
        if only.as_ref().is_some_and(|only| !name.starts_with(only.as_str())) {
            continue;
        }
        let raw = Bytes::from(message);
        let update = match prepare(&config.feeds, raw.clone(), now).content {
            Content::Update(update) => update,
            Content::Rejected(_) | Content::Failed(_) => panic!("{name} is refused"),
        };
        let resources = preview(&update);
        let parse = rate(budget, || {
            black_box(Message::parse(raw.clone(), &ParseOptions::default()).unwrap());
        });
        let translate = rate(budget, || {
            black_box(prepare(&config.feeds, raw.clone(), now));
        });
        let check = rate(budget, || {
            for (_, _, resource) in &resources {
                black_box(fhir::check(resource));
            }
        });
        let view = View::default();
        let decided = rate(budget, || {
            black_box(decide(&view, &update, "C1"));
        });
        let whole = 1.0 / (1.0 / translate + 1.0 / check);
        println!(
            "{name:<15} {:>5} bytes  parse only {parse:>9.0}/s  parse+route+map {translate:>8.0}/s  check {check:>9.0}/s  \
             parse+route+map+check {whole:>8.0}/s  ratio to parsing {:.3}  decide {decided:>8.0}/s",
            raw.len(),
            whole / parse
        );
    }
}
