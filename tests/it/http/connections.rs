//! Clients that open connections and never come to an end: what they cost is bounded, and others are answered.

use std::time::Instant;

use fairway::http::Limits;

use super::limits::{Served, document};
use super::*;

/// Longer than anything here should take; only a failure waits for it.
const PATIENCE: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(300);

fn connect(served: &Served, begin: &str) -> TcpStream {
    let mut stream = TcpStream::connect(served.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(begin.as_bytes()).unwrap();
    stream
}

/// Waits for the end; only a time-out is none.
fn is_closed(stream: &mut TcpStream) -> bool {
    stream.read_to_end(&mut Vec::new()).is_ok()
}

#[test]
fn more_connections_than_there_are_places_wait_for_the_idle_ones_to_be_closed() {
    let served = Served::with(Vec::new(), Limits { connections_max: 4, header: SHORT, ..Limits::default() });
    // Silent ones, and ones that send a header byte by byte.
    let mut idle: Vec<TcpStream> = (0..8).map(|_| connect(&served, "")).collect();
    let mut slow: Vec<TcpStream> =
        (0..8).map(|_| connect(&served, "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n")).collect();
    let begun = Instant::now();
    assert_eq!(served.get("/healthz").status, 200);
    assert!(begun.elapsed() < PATIENCE);
    assert!(begun.elapsed() >= SHORT, "there was a place although all were taken");
    assert!(idle.iter_mut().chain(&mut slow).all(is_closed));
}

#[test]
fn a_connection_is_kept_between_requests_and_closed_when_none_comes() {
    let served = Served::with(Vec::new(), Limits { header: SHORT, ..Limits::default() });
    let mut stream = connect(&served, "");
    for _ in 0..3 {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").unwrap();
        let mut bytes = [0; 1024];
        let count = stream.read(&mut bytes).unwrap();
        assert!(bytes[..count].starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&bytes));
        std::thread::sleep(SHORT / 3);
    }
    assert!(is_closed(&mut stream));
}

#[test]
fn a_request_that_never_ends_is_given_up() {
    let served = Served::with(Vec::new(), Limits { answer: SHORT, ..Limits::default() });
    let head = "POST /sandbox/fhir/Patient/_search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10\r\n\r\ngiven";
    let mut stream = connect(&served, head);
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("OperationOutcome"), "{answer}");
}

/// Longer than the buffers of a socket, in bytes.
const LARGE: usize = 24 * 1024 * 1024;

/// A store with one large document, and the request for it without its end.
fn large(limits: Limits) -> (Served, String) {
    let (effects, path) = document("text/plain", vec![b'x'; LARGE].into());
    (Served::with(vec![effects], limits), format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"))
}

#[test]
fn answers_that_nobody_takes_are_few_and_dropped() {
    let (served, head) = large(Limits { write: SHORT, ..Limits::default() });
    let untaken: Vec<TcpStream> = (0..24).map(|_| connect(&served, &format!("{head}\r\n"))).collect();
    std::thread::sleep(SHORT);
    assert_eq!(served.get("/healthz").status, 200, "needs no place");
    assert_eq!(served.get("/sandbox/fhir/Patient").status, 200);
    drop(untaken);
}

#[test]
fn a_stop_lets_an_answer_be_taken_to_its_end() {
    let (served, head) = large(Limits::default());
    let mut stream = connect(&served, &format!("{head}Connection: close\r\n\r\n"));
    let mut bytes = vec![0; 64 * 1024];
    let count = stream.read(&mut bytes).unwrap();
    bytes.truncate(count);
    let idle = connect(&served, "");
    served.stop.send_replace(true);
    std::thread::sleep(SHORT);
    stream.read_to_end(&mut bytes).unwrap();
    assert!(bytes.len() > LARGE && bytes.ends_with(b"x"), "{}", bytes.len());
    let begun = Instant::now();
    served.ended();
    assert!(begun.elapsed() < Duration::from_secs(3), "nothing is left to wait for");
    drop(idle);
}
