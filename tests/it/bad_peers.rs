//! Peers that break the rules of MLLP: each gets an answer or a close with a reason, and the listener lives on.

use std::time::{Duration, Instant};

use bytes::Bytes;
use fairway::mllp::client::{Client, ack_code};
use fairway::mllp::listener::{CloseReason, ConnectionEvent, Limits, Refused};
use tokio::io::AsyncWriteExt;

use crate::probe::{PATIENCE, ack, framed, limits, message, start};

#[tokio::test]
async fn half_a_frame_and_silence_is_kept_answered_and_closed() {
    let server = start(Limits { in_frame: Duration::from_millis(80), ..limits() }).await;
    let mut peer = server.open().await;
    peer.send(b"\x0BMSH|^~\\&|half").await;
    assert_eq!(peer.answer().await, Some(ack("AR", "")));
    assert_eq!(peer.answer().await, None);
    server.closed(CloseReason::InFrameTimeout).await;
    assert_eq!(
        *server.probe.refused.lock().unwrap(),
        [Refused::Unfinished { bytes: Bytes::from_static(b"MSH|^~\\&|half") }]
    );
    server.lives().await;
}

#[tokio::test]
async fn a_frame_that_ends_with_fs_alone_counts_when_nothing_follows() {
    let server = start(Limits { in_frame: Duration::from_millis(80), ..limits() }).await;
    let mut peer = server.open().await;
    let mut bytes = framed("1");
    bytes.pop();
    peer.send(&bytes).await;
    peer.acked("1").await;
    assert_eq!(peer.answer().await, None);
}

#[tokio::test]
async fn a_peer_that_hangs_up_inside_a_frame_loses_nothing() {
    let server = start(limits()).await;
    let mut peer = server.open().await;
    peer.send(&[&framed("slow-50")[..], b"\x0BMSH|cut"].concat()).await;
    peer.stream.shutdown().await.unwrap();
    peer.acked("slow-50").await;
    assert_eq!(peer.answer().await, Some(ack("AR", "")));
    assert_eq!(peer.answer().await, None);
    server.closed(CloseReason::PeerClosed).await;
    // Gone without waiting for any answer: the message is handled all the same.
    let mut peer = server.open().await;
    peer.send(&framed("slow-50")).await;
    drop(peer);
    server.event(|_| (server.probe.frames() == 2).then_some(())).await;
}

#[tokio::test]
async fn an_abandoned_frame_is_refused_and_the_next_one_taken() {
    let server = start(limits()).await;
    let mut peer = server.open().await;
    peer.send(&[b"\x0BMSH|cut\r", &framed("1")[..]].concat()).await;
    assert_eq!(peer.answer().await, Some(ack("AR", "")));
    peer.acked("1").await;
    assert_eq!(*server.probe.refused.lock().unwrap(), [Refused::Restarted { bytes: Bytes::from_static(b"MSH|cut\r") }]);
}

#[tokio::test]
async fn a_silent_connection_is_closed_and_junk_does_not_keep_it_open() {
    let server = start(Limits { idle: Duration::from_millis(150), ..limits() }).await;
    let mut peer = server.open().await;
    let began = Instant::now();
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        peer.stream.write_all(b"x").await.ok();
    }
    assert_eq!(peer.answer().await, None);
    assert!(began.elapsed() < Duration::from_secs(5));
    server.closed(CloseReason::Idle).await;
}

#[tokio::test]
async fn messages_without_framing_are_junk_up_to_a_limit() {
    let server = start(Limits { junk_bytes_max: 1000, ..limits() }).await;
    let mut peer = server.open().await;
    peer.send(&message("unframed").repeat(100)).await;
    assert_eq!(peer.answer().await, None);
    server.closed(CloseReason::JunkLimit).await;
    assert!(server.junk() > 1000);
    assert_eq!(server.probe.frames(), 0);
    server.lives().await;
}

#[tokio::test]
async fn a_tls_handshake_is_no_message() {
    let server = start(limits()).await;
    // The first bytes of a ClientHello, whole and in two reads; a random byte of it opens a frame.
    for cut in [1, 3] {
        let hello = [&b"\x16\x03\x01\x00\xC8\x01\x00\x00\xC4\x03\x03\x0B"[..], &[7; 189]].concat();
        let mut peer = server.open().await;
        peer.send(&hello[..cut]).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        peer.stream.write_all(&hello[cut..]).await.ok();
        assert_eq!(peer.answer().await, None);
    }
    server.closed(CloseReason::UnexpectedTls).await;
    assert_eq!((server.probe.frames(), server.probe.refused.lock().unwrap().len(), server.junk()), (0, 0, 0));
    // The first byte alone is nothing yet.
    let mut peer = server.open().await;
    peer.send(&[b"\x16", &framed("1")[..]].concat()).await;
    peer.acked("1").await;
}

#[tokio::test]
async fn line_ends_behind_frames_are_no_junk_and_fs_lf_is_an_end() {
    let server = start(limits()).await;
    let mut peer = server.open().await;
    for id in ["1", "2", "3"] {
        let mut bytes = [&framed(id)[..], b"\n"].concat();
        if id == "2" {
            bytes.remove(bytes.len() - 2);
        }
        peer.send(&bytes).await;
        peer.acked(id).await;
    }
    peer.send(&[b"\x0B\x0B\x0B", &framed("4")[..]].concat()).await;
    peer.acked("4").await;
    drop(peer);
    server.closed(CloseReason::PeerClosed).await;
    let events = server.events.lock().unwrap().clone();
    let junk = events.iter().filter(|event| matches!(event, ConnectionEvent::Junk { .. })).count();
    assert_eq!((junk, server.probe.refused.lock().unwrap().len()), (1, 0), "{events:?}");
}

#[tokio::test]
async fn a_peer_that_never_frames_is_told_from_a_quiet_one() {
    let server = start(Limits { in_frame: Duration::from_millis(80), ..limits() }).await;
    let (mut unframed, mut quiet) = (server.open().await, server.open().await);
    quiet.send(&[&framed("1")[..], b"\n"].concat()).await;
    quiet.acked("1").await;
    unframed.send(&message("unframed")).await;
    assert_eq!(unframed.answer().await, None);
    server.closed(CloseReason::Unframed).await;
    assert_eq!(server.junk(), message("unframed").len());
    quiet.send(&framed("2")).await;
    quiet.acked("2").await;
}

#[tokio::test]
async fn a_byte_now_and_then_does_not_keep_a_frame_open() {
    let server = start(Limits { in_frame: Duration::from_millis(150), ..limits() }).await;
    let mut peer = server.open().await;
    let began = Instant::now();
    peer.send(b"\x0B").await;
    while began.elapsed() < PATIENCE && server.probe.refused.lock().unwrap().is_empty() {
        peer.stream.write_all(b"x").await.ok();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server.closed(CloseReason::InFrameTimeout).await;
}

#[tokio::test]
async fn slow_large_frames_go_when_others_wait_for_their_memory() {
    let pace = Duration::from_millis(100);
    let server = start(Limits { buffer_bytes_max: 1024 * 1024, pace, ..limits() }).await;
    let mut slow = Vec::new();
    for _ in 0..3 {
        let mut peer = server.open().await;
        peer.send(&[&b"\x0BMSH|^~\\&|slow\rNTE|1||"[..], &vec![b'x'; 600 * 1024]].concat()).await;
        slow.push(peer);
    }
    let event = |wanted: fn(&ConnectionEvent) -> bool| server.events.lock().unwrap().iter().any(wanted);
    let too_slow =
        |event: &ConnectionEvent| matches!(event, ConnectionEvent::Closed { reason: CloseReason::TooSlow, .. });
    // Two have all the memory, and a third waits: the first to be looked at goes.
    server.closed(CloseReason::TooSlow).await;
    let mut good = message("good");
    good.resize(300 * 1024, b'y');
    let mut client = Client::connect(server.addr, PATIENCE).await.unwrap();
    let began = Instant::now();
    assert_eq!(ack_code(&client.send(&good).await.unwrap()), Some("AA"));
    assert!(began.elapsed() < PATIENCE / 4, "{:?}", began.elapsed());
    assert!(event(too_slow));
    let refused = server.probe.refused.lock().unwrap().clone();
    assert!(
        refused.iter().all(|one| matches!(one, Refused::Unfinished { bytes } if bytes.len() > 100_000)),
        "{refused:?}"
    );

    // While nobody waits, nobody is hurried.
    let server = start(Limits { buffer_bytes_max: 4 * 1024 * 1024, pace, ..limits() }).await;
    let mut peer = server.open().await;
    let mut large = message("large");
    large.resize(600 * 1024, b'x');
    peer.send(&[&b"\x0B"[..], &large].concat()).await;
    tokio::time::sleep(3 * pace).await;
    peer.send(b"\x1C\r").await;
    peer.acked("large").await;
}

#[tokio::test]
async fn frames_that_just_keep_the_pace_go_when_others_have_waited_for_long() {
    let pace = Duration::from_millis(250);
    let server = start(Limits { buffer_bytes_max: 1024 * 1024, pace, ..limits() }).await;
    let mut slow = Vec::new();
    for _ in 0..4 {
        let mut stream = tokio::net::TcpStream::connect(server.addr).await.unwrap();
        slow.push(tokio::spawn(async move {
            let start = [&b"\x0BMSH|^~\\&|slow\rNTE|1||"[..], &vec![b'x'; 600 * 1024]].concat();
            stream.write_all(&start).await.ok();
            // Somewhat more than is asked of all who have memory while others wait.
            let some = vec![b'x'; 200 * 1024];
            while stream.write_all(&some).await.is_ok() {
                tokio::time::sleep(pace / 8).await;
            }
        }));
    }
    tokio::time::sleep(pace).await;
    let mut good = message("good");
    good.resize(300 * 1024, b'y');
    let mut client = Client::connect(server.addr, PATIENCE).await.unwrap();
    let began = Instant::now();
    assert_eq!(ack_code(&client.send(&good).await.unwrap()), Some("AA"));
    assert!(began.elapsed() < 16 * pace, "{:?}", began.elapsed());
    server.closed(CloseReason::TooSlow).await;
    slow.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn no_bytes_stop_the_listener() {
    let server = start(Limits { frame_bytes_max: 2000, junk_bytes_max: 500, ..limits() }).await;
    let parts: [&[u8]; 10] = [
        b"\x0B",
        b"\x1C\r",
        b"\x1C",
        b"\r",
        b"\x0B\x0B",
        b"\r\x0BMSH|",
        b"MSH|^~\\&|||||||A|1|",
        &[0xFF; 300],
        &[b'x'; 1500],
        b"|\r\n",
    ];
    // A fixed sequence, so that a failure comes again.
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    for _ in 0..300 {
        let mut peer = server.open().await;
        for _ in 0..12 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            peer.stream.write_all(parts[(state % 10) as usize]).await.ok();
        }
        peer.stream.shutdown().await.ok();
        while peer.answer().await.is_some() {}
    }
    server.lives().await;
    drop(server.stop);
    tokio::time::timeout(PATIENCE, server.serving).await.unwrap().unwrap();
    let events = server.events.lock().unwrap();
    let opened = events.iter().filter(|event| matches!(event, ConnectionEvent::Accepted { .. })).count();
    let closed = events.iter().filter(|event| matches!(event, ConnectionEvent::Closed { .. })).count();
    assert_eq!((opened, closed), (301, 301));
    assert!(
        !events
            .iter()
            .any(|event| matches!(event, ConnectionEvent::Closed { reason: CloseReason::HandlerPanicked, .. }))
    );
}

#[tokio::test]
async fn a_frame_that_is_too_large_is_answered_while_the_peer_still_sends() {
    let server = start(Limits { frame_bytes_max: 100_000, ..limits() }).await;
    let mut peer = server.open().await;
    // All of it can be sent, more than the sockets hold: a reset would take the answer away.
    peer.send(b"\x0BMSH|").await;
    peer.send(&vec![b'x'; 10_000_000]).await;
    assert_eq!(peer.answer().await, Some(ack("AR", "")));
    assert_eq!(peer.answer().await, None);
    server.closed(CloseReason::FrameTooLarge).await;
    let refused = server.probe.refused.lock().unwrap().clone();
    assert!(
        matches!(&refused[..], [Refused::TooLarge { prefix }] if prefix.starts_with(b"MSH|xxx") && prefix.len() == 64 * 1024)
    );
    server.lives().await;
}

#[tokio::test]
async fn a_peer_that_reads_no_answers_is_closed() {
    let server = start(Limits { write: Duration::from_millis(100), ..limits() }).await;
    let mut peer = server.open().await;
    peer.send(&framed("long").repeat(4)).await;
    server.closed(CloseReason::WriteTimeout).await;
    server.lives().await;
}
