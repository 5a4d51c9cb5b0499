//! Fairway end to end over loopback MLLP with the embedded store, beside a bare server that only appends each frame to a
//! file, flushes once per batch and answers; same run, same messages, one message in flight per sender.
//!
//! `cargo bench --bench end_to_end [SECONDS [SENDERS]]`. Never a test: it sets no threshold.

#![allow(clippy::unwrap_used, missing_docs)]

mod bare;
mod messages;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bare::{Bare, Figures, Until, load};
use fairway::config::Config;
use fairway::daemon::Daemon;
use tokio::runtime::Builder;

/// Patients each sender has.
const PATIENTS_PER_SENDER: usize = 20;
const SENDERS: [usize; 4] = [1, 8, 32, 256];

fn print(name: &str, senders: usize, figures: &Figures) {
    let Figures { messages_per_second, p50, p99, refused, .. } = figures;
    println!(
        "{name:<8} {senders:>4} senders {messages_per_second:>8.0} messages/s  p50 {p50:>9.1?}  p99 {p99:>9.1?}  refused {refused}"
    );
}

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let seconds = numbers.first().copied().unwrap_or(5);
    let only = numbers.get(1).copied();
    let until = || Until::Elapsed(Duration::from_secs(seconds));
    let folder = std::env::current_dir().unwrap().join("target/bench-data");
    std::fs::remove_dir_all(&folder).unwrap_or_default();
    std::fs::create_dir_all(&folder).unwrap();

    let bare = Bare::start(&folder.join("bare.log"));
    let mut config = Config::built_in().unwrap();
    config.data.clone_from(&folder);
    config.http.set_port(0);
    for listener in config.environments.iter_mut().flat_map(|environment| &mut environment.listeners) {
        listener.listen.set_port(0);
    }
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let daemon = runtime.block_on(Daemon::start(&config)).unwrap();
    let address = daemon.environments[0].listeners[0].1;

    // Every patient exists before anything is measured.
    let patients = SENDERS[3] * PATIENTS_PER_SENDER;
    let created = load(address, 64, Until::EachSent(patients.div_ceil(64)), |sender, n| {
        let patient = n * 64 + sender;
        messages::adt("A28", patient, &format!("N{patient}"), 0)
    });
    assert_eq!(created.refused, 0, "every patient must be created");

    static NEXT: AtomicUsize = AtomicUsize::new(1);
    let update = |sender: usize, n: usize| {
        let patient = sender * PATIENTS_PER_SENDER + n % PATIENTS_PER_SENDER;
        let unique = NEXT.fetch_add(1, Ordering::Relaxed);
        messages::adt("A31", patient, &format!("U{unique}"), unique)
    };
    for senders in SENDERS.into_iter().filter(|senders| only.is_none_or(|only| only == *senders as u64)) {
        let limit = load(bare.addr, senders, until(), update);
        print("bare", senders, &limit);
        let ours = load(address, senders, until(), update);
        print("fairway", senders, &ours);
        assert_eq!(ours.refused, 0, "a figure of refusals is none");
        println!("         ratio {:.2}", ours.messages_per_second / limit.messages_per_second);
    }
    runtime.block_on(daemon.stop());
    std::fs::remove_dir_all(&folder).unwrap_or_default();
}
