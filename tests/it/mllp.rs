//! The MLLP listener and client against each other, on real sockets.

use std::time::{Duration, Instant};

use bytes::Bytes;
use fairway::mllp::client::{Client, SendError, ack_code};
use fairway::mllp::listener::{CloseReason, ConnectionEvent, Limits};
use tokio::net::TcpStream;

use crate::probe::{PATIENCE, framed, limits, message, start};

#[tokio::test]
async fn garbage_before_and_between_frames_is_counted_and_skipped() {
    let server = start(limits()).await;
    let mut peer = server.open().await;
    peer.send(&[b"hello", &framed("1")[..], b"\r\n\0\0", &framed("2")[..]].concat()).await;
    peer.acked("1").await;
    peer.acked("2").await;
    assert_eq!(server.junk(), 9);
    assert_eq!(*server.probe.frames.lock().unwrap(), [message("1"), message("2")]);
}

#[tokio::test]
async fn frames_come_byte_by_byte_or_several_at_once() {
    let server = start(limits()).await;
    let mut peer = server.open().await;
    for byte in framed("slowly") {
        peer.send(&[byte]).await;
    }
    peer.acked("slowly").await;
    peer.send(&[framed("a"), framed("b"), framed("c")].concat()).await;
    for id in ["a", "b", "c"] {
        peer.acked(id).await;
    }
    // FS without CR before the next frame.
    let mut without_cr = framed("d");
    without_cr.pop();
    peer.send(&[without_cr, framed("e")].concat()).await;
    peer.acked("d").await;
    peer.acked("e").await;
    server.event(|event| matches!(event, ConnectionEvent::NoCr { .. }).then_some(())).await;
}

#[tokio::test]
async fn a_hundred_pipelined_messages_are_answered_in_order() {
    for in_flight_max in [1, 7, 32, 200] {
        let server = start(Limits { in_flight_max, ..limits() }).await;
        let mut peer = server.open().await;
        let ids: Vec<String> = (0..100).map(|n| format!("slow-{}-{n}", (n * 7) % 11)).collect();
        peer.send(&ids.iter().flat_map(|id| framed(id)).collect::<Vec<u8>>()).await;
        for id in &ids {
            peer.acked(id).await;
        }
        let seen: Vec<Bytes> = server.probe.frames.lock().unwrap().clone();
        assert_eq!(seen, ids.iter().map(|id| message(id)).collect::<Vec<_>>(), "handled in order of arrival");
    }
}

#[tokio::test]
async fn messages_in_flight_are_handled_at_once_and_no_more_than_allowed() {
    let server = start(Limits { in_flight_max: 8, ..limits() }).await;
    let mut peer = server.open().await;
    peer.send(&framed("together-8").repeat(8)).await;
    for _ in 0..8 {
        peer.acked("together-8").await;
    }
    peer.send(&framed("slow-100").repeat(9)).await;
    server.event(|_| (server.probe.frames() == 16).then_some(())).await;
    peer.acked("slow-100").await;
}

#[tokio::test]
async fn connections_past_the_limits_are_closed_and_free_places_used_again() {
    for (limits, all) in
        [(Limits { connections_max: 2, ..limits() }, true), (Limits { connections_per_peer_max: 2, ..limits() }, false)]
    {
        let server = start(limits).await;
        let (mut first, mut second) = (server.open().await, server.open().await);
        for peer in [&mut first, &mut second] {
            peer.send(&framed("1")).await;
            peer.acked("1").await;
        }
        assert_eq!(server.open().await.answer().await, None);
        let refused = server
            .event(|event| match event {
                ConnectionEvent::TooMany { .. } => Some(true),
                ConnectionEvent::TooManyFromPeer { .. } => Some(false),
                _ => None,
            })
            .await;
        assert_eq!(refused, all);
        drop(first);
        server.closed(CloseReason::PeerClosed).await;
        server.lives().await;
    }
}

#[tokio::test]
async fn stop_finishes_what_is_framed_and_nothing_else() {
    let server = start(Limits { in_flight_max: 4, ..limits() }).await;
    let (mut busy, mut quiet) = (server.open().await, server.open().await);
    let ids: Vec<String> = (0..20).map(|n| format!("slow-10-{n}")).collect();
    let mut bytes: Vec<u8> = ids.iter().flat_map(|id| framed(id)).collect();
    bytes.extend_from_slice(b"\x0BMSH|not complete");
    busy.send(&bytes).await;
    server.event(|_| (server.probe.frames() >= 4).then_some(())).await;
    server.stop.send(true).unwrap();
    for id in &ids {
        busy.acked(id).await;
    }
    assert_eq!((busy.answer().await, quiet.answer().await), (None, None));
    drop((busy, quiet));
    tokio::time::timeout(PATIENCE, server.serving).await.unwrap().unwrap();
    assert_eq!(server.probe.frames.lock().unwrap().len(), 20);
    assert_eq!(server.probe.refused.lock().unwrap().len(), 0);
    assert!(TcpStream::connect(server.addr).await.is_err());
}

#[tokio::test]
async fn stop_waits_no_longer_than_the_grace_time() {
    let server = start(Limits { grace: Duration::from_millis(100), ..limits() }).await;
    let mut peer = server.open().await;
    peer.send(&framed("slow-60000")).await;
    server.event(|_| (server.probe.frames() == 1).then_some(())).await;
    server.stop.send(true).unwrap();
    let began = Instant::now();
    tokio::time::timeout(PATIENCE, server.serving).await.unwrap().unwrap();
    assert!(began.elapsed() < Duration::from_secs(5));
    assert!(
        server
            .events
            .lock()
            .unwrap()
            .iter()
            .any(|event| matches!(event, ConnectionEvent::Closed { reason: CloseReason::GraceOver, .. }))
    );
}

#[tokio::test]
async fn a_document_of_100_mb_goes_through() {
    let server = start(limits()).await;
    let mut document = message("document");
    document.resize(100 * 1024 * 1024, b'x');
    let mut client = Client::connect(server.addr, PATIENCE).await.unwrap();
    assert_eq!(ack_code(&client.send(&document).await.unwrap()), Some("AA"));
    assert!(server.probe.frames.lock().unwrap()[0] == document);
    // The same connection goes on with small messages.
    assert_eq!(ack_code(&client.send(&message("1")).await.unwrap()), Some("AA"));
}

#[tokio::test]
async fn documents_that_together_exceed_the_memory_wait_for_each_other() {
    let frame_bytes_max = 4 * 1024 * 1024;
    let server = start(Limits { frame_bytes_max, buffer_bytes_max: 1024 * 1024, ..limits() }).await;
    let sends = (0..8).map(|_| {
        let addr = server.addr;
        tokio::spawn(async move {
            let mut client = Client::connect(addr, PATIENCE).await.unwrap();
            for number in 0..3 {
                let mut document = message(&format!("slow-20-{number}"));
                document.resize(3 * 1024 * 1024, b'x');
                assert_eq!(ack_code(&client.send(&document).await.unwrap()), Some("AA"));
            }
        })
    });
    for send in sends.collect::<Vec<_>>() {
        send.await.unwrap();
    }
    server.event(|event| matches!(event, ConnectionEvent::WaitingForMemory { .. }).then_some(())).await;
    assert_eq!(server.probe.frames(), 24);
}

#[tokio::test]
async fn no_answer_closes_and_a_failing_handler_takes_nobody_along() {
    let server = start(limits()).await;
    let mut other = server.open().await;
    let mut peer = server.open().await;
    peer.send(&[framed("1"), framed("none"), framed("2")].concat()).await;
    peer.acked("1").await;
    assert_eq!(peer.answer().await, None);
    server.closed(CloseReason::NoAnswer).await;
    let mut peer = server.open().await;
    peer.send(&framed("panic")).await;
    assert_eq!(peer.answer().await, None);
    server.closed(CloseReason::HandlerPanicked).await;
    other.send(&framed("3")).await;
    other.acked("3").await;
    server.lives().await;
}

#[tokio::test]
async fn the_client_takes_no_answer_but_its_own() {
    let server = start(limits()).await;
    let mut client = Client::connect(server.addr, PATIENCE).await.unwrap();
    let error = client.send(&message("other")).await.unwrap_err();
    assert!(
        matches!(&error, SendError::OtherMessage { sent, answered } if sent == "other" && answered == "someone else"),
        "{error}"
    );
    assert!(matches!(client.send(&message("1")).await, Err(SendError::Disconnected)));

    // A late answer: its connection is given up, so it can never answer the next message.
    let mut client = Client::connect(server.addr, Duration::from_millis(60)).await.unwrap();
    assert!(matches!(client.send(&message("slow-200")).await, Err(SendError::Timeout(_))));
    assert!(matches!(client.send(&message("2")).await, Err(SendError::Disconnected)));

    let mut client = Client::connect(server.addr, PATIENCE).await.unwrap();
    assert!(matches!(client.send(&message("none")).await, Err(SendError::Closed)));
    let mut client = Client::connect(server.addr, PATIENCE).await.unwrap();
    assert!(matches!(client.send(&message("long")).await, Err(SendError::NotAnAcknowledgement)));
}
