//! A listener whose handler answers by what the control id asks for, and a peer that sends any bytes.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use fairway::mllp::client::{Client, ack_code, control_id_of};
use fairway::mllp::listener::{CloseReason, ConnectionEvent, CurrentTls, Handler, Limits, Refused, serve};
use fairway_core::hl7v2::mllp::{Decoder, Event, encode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Longer than anything here should take; only a failure waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Answers by what the control id asks for, and keeps what it saw.
#[derive(Default)]
pub(crate) struct Probe {
    pub(crate) frames: Mutex<Vec<Bytes>>,
    pub(crate) refused: Mutex<Vec<Refused>>,
}

impl Probe {
    pub(crate) fn frames(&self) -> usize {
        self.frames.lock().unwrap().len()
    }
}

pub(crate) fn ack(code: &str, id: &str) -> Bytes {
    format!("MSH|^~\\&|F|R|||20240101||ACK|1|P|2.4\rMSA|{code}|{id}\r").into()
}

impl Handler for Probe {
    async fn handle(&self, frame: Bytes, _: SocketAddr) -> Option<Vec<Bytes>> {
        let id = control_id_of(&frame).unwrap_or_default();
        self.frames.lock().unwrap().push(frame);
        // `slow-MS-…` takes so many milliseconds, `none` has no answer, `panic` is a bug in the handler.
        let mut words = id.split('-');
        match words.next() {
            Some("slow") => {
                let millis = words.next().unwrap().parse().unwrap();
                tokio::time::sleep(Duration::from_millis(millis)).await;
            }
            // Waits until so many messages are there.
            Some("together") => {
                let count = words.next().unwrap().parse().unwrap();
                while self.frames() < count {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
            Some("none") => return None,
            Some("panic") => panic!("the handler fails, as the test wants"),
            Some("other") => return Some(vec![ack("AA", "someone else")]),
            Some("reject") => return Some(vec![ack("AR", &id)]),
            Some("long") => return Some(vec![Bytes::from(vec![b'x'; 8 * 1024 * 1024])]),
            _ => {}
        }
        Some(vec![ack("AA", &id)])
    }

    async fn refuse(&self, what: Refused, _: SocketAddr) -> Option<Vec<Bytes>> {
        self.refused.lock().unwrap().push(what);
        Some(vec![ack("AR", "")])
    }
}

pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    pub(crate) probe: Arc<Probe>,
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) serving: JoinHandle<()>,
    pub(crate) events: Arc<Mutex<Vec<ConnectionEvent>>>,
}

pub(crate) fn limits() -> Limits {
    Limits { idle: PATIENCE, in_frame: PATIENCE, write: PATIENCE, ..Limits::default() }
}

pub(crate) async fn start(limits: Limits) -> Server {
    start_with(limits, None).await
}

pub(crate) async fn start_with(limits: Limits, tls: Option<CurrentTls>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (addr, probe, events) =
        (listener.local_addr().unwrap(), Arc::<Probe>::default(), Arc::<Mutex<Vec<_>>>::default());
    let (stop, stopped) = watch::channel(false);
    let heard = Arc::clone(&events);
    let serving = tokio::spawn(serve(listener, limits, tls, Arc::clone(&probe), stopped, move |event| {
        heard.lock().unwrap().push(event)
    }));
    Server { addr, probe, stop, serving, events }
}

impl Server {
    pub(crate) async fn open(&self) -> Peer {
        let stream = TcpStream::connect(self.addr).await.unwrap();
        Peer { stream, decoder: Decoder::new(usize::MAX), buffer: BytesMut::new() }
    }

    /// Waits until an event is there for which `wanted` gives a value.
    pub(crate) async fn event<T>(&self, wanted: impl Fn(&ConnectionEvent) -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            if let Some(found) = self.events.lock().unwrap().iter().find_map(&wanted) {
                return found;
            }
            assert!(began.elapsed() < PATIENCE, "no such event in {:?}", self.events.lock().unwrap());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    pub(crate) async fn closed(&self, reason: CloseReason) {
        self.event(|event| matches!(event, ConnectionEvent::Closed { reason: r, .. } if *r == reason).then_some(()))
            .await;
    }

    pub(crate) fn junk(&self) -> usize {
        let bytes = |event: &ConnectionEvent| match event {
            ConnectionEvent::Junk { bytes, .. } => *bytes,
            _ => 0,
        };
        self.events.lock().unwrap().iter().map(bytes).sum()
    }

    /// The listener still takes a message from somebody else.
    pub(crate) async fn lives(&self) {
        let mut client = Client::connect(self.addr, PATIENCE).await.unwrap();
        assert_eq!(ack_code(&client.send(&message("alive")).await.unwrap()), Some("AA"));
    }
}

pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    pub(crate) decoder: Decoder,
    pub(crate) buffer: BytesMut,
}

impl Peer {
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The next answer, or `None` when the connection is closed.
    pub(crate) async fn answer(&mut self) -> Option<Bytes> {
        let read = async {
            loop {
                if let Some(event) = self.decoder.decode(&mut self.buffer).unwrap() {
                    let Event::Frame { bytes, .. } = event else { panic!("{event:?}") };
                    return Some(bytes);
                }
                if self.stream.read_buf(&mut self.buffer).await.unwrap_or(0) == 0 {
                    return None;
                }
            }
        };
        tokio::time::timeout(PATIENCE, read).await.expect("an answer or a close in time")
    }

    pub(crate) async fn acked(&mut self, id: &str) {
        assert_eq!(self.answer().await, Some(ack("AA", id)));
    }
}

pub(crate) fn message(id: &str) -> Vec<u8> {
    format!("MSH|^~\\&|A|B|C|D|20240101||ADT^A01|{id}|P|2.4\rPID|||1\r").into_bytes()
}

pub(crate) fn framed(id: &str) -> Vec<u8> {
    let mut out = BytesMut::new();
    encode(&message(id), &mut out);
    out.to_vec()
}
