//! What the MLLP listener costs: the same journal behind it and behind a bare server, in one run.
//!
//! `cargo bench --bench mllp [SECONDS]`, two seconds for each figure unless told otherwise. Never a test: it sets no
//! threshold.

#![allow(clippy::unwrap_used, missing_docs)]

mod bare;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bare::{Bare, Figures, Journal, Until, ack_for, load};
use bytes::Bytes;
use fairway::mllp::listener::{Handler, Limits, Refused, serve};
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::sync::watch;

/// Acknowledges once the journal has the frame, as the bare server does.
struct Journalled(Journal);

impl Handler for Journalled {
    async fn handle(&self, frame: Bytes, _: SocketAddr) -> Option<Bytes> {
        self.0.append(&frame).await.ok()?;
        let mut ack = Vec::new();
        ack_for(&frame, &mut ack);
        let framed = Bytes::from(ack);
        Some(framed.slice(1..framed.len() - 2))
    }

    async fn refuse(&self, _: Refused, _: SocketAddr) -> Option<Bytes> {
        None
    }
}

/// About 500 bytes, as a routine ADT.
fn message(sender: usize, n: usize) -> Vec<u8> {
    let mut message =
        format!("MSH|^~\\&|PAS|HOSPITAL|FAIRWAY|PHR|20240101120000||ADT^A01|{sender}-{n}|P|2.4\r").into_bytes();
    message.extend_from_slice(b"PID|||X123^^^HOSPITAL^MR||DOE^JANE||19700101|F\r");
    message.resize(500, b'x');
    message
}

fn print(name: &str, senders: usize, figures: Figures) {
    let Figures { messages_per_second, p50, p99, refused, .. } = figures;
    println!(
        "{name:<9} {senders:>4} senders {messages_per_second:>8.0} messages/s  p50 {p50:>9.1?}  p99 {p99:>9.1?}  refused {refused}"
    );
}

fn main() {
    // `cargo test --all-targets` runs this too, without the flag.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let seconds = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(2);
    let until = Until::Elapsed(Duration::from_secs(seconds));
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for senders in [1, 64, 256] {
        let server = Bare::start(&folder.path().join("bare"));
        print("bare", senders, load(server.addr, senders, until, message));
        drop(server);

        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (journal, thread) = Journal::create(&folder.path().join("listener"));
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let addr = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let limits = Limits { connections_per_peer_max: senders, ..Limits::default() };
        let serving = runtime.spawn(serve(listener, limits, Arc::new(Journalled(journal.clone())), stopped, |_| {}));
        print("listener", senders, load(addr, senders, until, message));
        stop.send(true).unwrap();
        runtime.block_on(serving).unwrap();
        journal.close();
        thread.join().unwrap();
    }
}
