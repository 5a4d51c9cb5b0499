//! MLLP over TLS on real sockets: who gets in, who does not and why, and that limits and stop hold as without it.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use fairway::mllp::client::{Client, SendError, ack_code};
use fairway::mllp::listener::{CloseReason, Limits};
use fairway::tls::HandshakeFailure;
use fairway_core::hl7v2::mllp::{Decoder, Event};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::certificates::{Authority, Pair, VERSIONS, client, connect, dns, listen, uri};
use crate::probe::{PATIENCE, Server, framed, limits, message};

async fn accepted(client: &mut Client, id: &str) {
    assert_eq!(ack_code(&client.send(&message(id)).await.unwrap()), Some("AA"));
}

async fn refused(server: &Server, reason: HandshakeFailure) {
    server.closed(CloseReason::HandshakeFailed(reason)).await;
    assert_eq!(server.probe.frames(), 0);
}

#[tokio::test]
async fn messages_and_documents_go_through_with_both_versions() {
    let ours = Authority::new("ours");
    let server = listen(limits(), &ours.receiver(), Some(&ours), &[]).await;
    for version in VERSIONS {
        let mut open = connect(server.addr, client(version, &ours, Some(&ours.sender("pas")))).await.unwrap();
        for id in ["1", "2"] {
            accepted(&mut open, id).await;
        }
        let mut document = message("document");
        document.resize(20 * 1024 * 1024, b'x');
        assert_eq!(ack_code(&open.send(&document).await.unwrap()), Some("AA"));
        assert_eq!(*server.probe.frames.lock().unwrap().last().unwrap(), document);
        accepted(&mut open, "3").await;
        open.close().await;
        server.closed(CloseReason::PeerClosed).await;
        server.events.lock().unwrap().clear();
    }
    assert_eq!(server.probe.frames(), 8);
}

#[tokio::test]
async fn every_connection_shows_its_certificate_anew() {
    let ours = Authority::new("ours");
    let server = listen(limits(), &ours.receiver(), Some(&ours), &[]).await;
    for version in VERSIONS {
        let config = client(version, &ours, Some(&ours.sender("pas")));
        for _ in 0..3 {
            let stream = TcpStream::connect(server.addr).await.unwrap();
            let name = ServerName::try_from("localhost").unwrap();
            let mut stream = TlsConnector::from(config.clone()).connect(name, stream).await.unwrap();
            // Behind an answer, whatever the listener offers for resumption has come.
            stream.write_all(&framed("1")).await.unwrap();
            stream.read_u8().await.unwrap();
            assert_eq!(stream.get_ref().1.handshake_kind(), Some(rustls::HandshakeKind::Full));
        }
    }
}

#[tokio::test]
async fn without_a_client_authority_anybody_gets_in() {
    let ours = Authority::new("ours");
    let server = listen(limits(), &ours.receiver(), None, &[]).await;
    for version in VERSIONS {
        accepted(&mut connect(server.addr, client(version, &ours, None)).await.unwrap(), "1").await;
    }
}

#[tokio::test]
async fn a_client_without_a_certificate_that_fits_sends_nothing() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    // The same name, but another key: a forgery.
    let forged = Authority::new("ours");
    let expired = ours.issue("pas", Vec::new(), 2001);
    let cases: [(&str, Option<Pair>, HandshakeFailure); 5] = [
        ("none", None, HandshakeFailure::NoCertificate),
        ("of another authority", Some(theirs.sender("pas")), HandshakeFailure::UnknownAuthority),
        ("forged", Some(forged.sender("pas")), HandshakeFailure::UnknownAuthority),
        ("expired", Some(expired), HandshakeFailure::CertificateExpired),
        ("of another name", Some(ours.sender("lab")), HandshakeFailure::UnknownSubject),
    ];
    for version in VERSIONS {
        for (what, identity, reason) in &cases {
            let server = listen(limits(), &ours.receiver(), Some(&ours), &["CN=pas"]).await;
            let failed = match connect(server.addr, client(version, &ours, identity.as_ref())).await {
                Err(error) => error,
                // A TLS 1.3 client learns it behind the handshake.
                Ok(mut open) => match open.send(&message("1")).await.unwrap_err() {
                    SendError::Io(error) => error,
                    other => panic!("{what}: {other}"),
                },
            };
            // The alert came through: the client is told, not just cut off.
            assert!(failed.to_string().contains("alert"), "{what}: {failed}");
            refused(&server, *reason).await;
            accepted(&mut connect(server.addr, client(version, &ours, Some(&ours.sender("pas")))).await.unwrap(), "1")
                .await;
        }
    }
}

#[tokio::test]
async fn a_subject_is_of_its_kind_only() {
    let ours = Authority::new("ours");
    let sender = ours.issue("pas.example", vec![dns("PAS.rtst.example"), uri("urn:rtst:pas")], 2999);
    for (subject, fits) in [
        ("CN=pas.example", true),
        ("CN=PAS.example", false),
        ("DNS:pas.RTST.example", true),
        ("URI:urn:rtst:pas", true),
        ("DNS:pas.example", false),
        ("CN=PAS.rtst.example", false),
        ("URI:PAS.rtst.example", false),
        ("DNS:*.rtst.example", false),
    ] {
        let server = listen(limits(), &ours.receiver(), Some(&ours), &["CN=nobody", subject]).await;
        let open = connect(server.addr, client(VERSIONS[0], &ours, Some(&sender))).await;
        assert_eq!(open.is_ok(), fits, "{subject}");
    }
}

#[tokio::test]
async fn what_is_no_tls_is_told_from_what_fails_in_it() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let own = ours.receiver();
    let start = || listen(limits(), &own, Some(&ours), &[]);
    // Plain MLLP, plain HTTP.
    for bytes in [&framed("1").repeat(2000)[..], b"GET / HTTP/1.1\r\n\r\n"] {
        let server = start().await;
        let mut peer = server.open().await;
        peer.send(bytes).await;
        // An alert and an end in order, not a reset, although not all was read.
        let mut told = Vec::new();
        tokio::time::timeout(PATIENCE, peer.stream.read_to_end(&mut told)).await.unwrap().unwrap();
        assert_eq!(told.first(), Some(&21));
        drop(peer);
        refused(&server, HandshakeFailure::NotTls).await;
    }
    // Closed before anything, and in the middle.
    for bytes in [&b""[..], &[22, 3, 1, 2, 0, 1]] {
        let server = start().await;
        let mut peer = server.open().await;
        peer.send(bytes).await;
        drop(peer);
        refused(&server, HandshakeFailure::Closed).await;
    }
    // The client does not trust us, or wants another name.
    for version in VERSIONS {
        let server = start().await;
        let error = connect(server.addr, client(version, &theirs, Some(&ours.sender("pas")))).await.unwrap_err();
        assert!(error.to_string().contains("UnknownIssuer"), "{error}");
        refused(&server, HandshakeFailure::RefusedByPeer).await;
    }
    let server = start().await;
    let stream = TcpStream::connect(server.addr).await.unwrap();
    let config = client(VERSIONS[1], &ours, Some(&ours.sender("pas")));
    TlsConnector::from(config).connect(ServerName::try_from("elsewhere").unwrap(), stream).await.unwrap_err();
    refused(&server, HandshakeFailure::RefusedByPeer).await;
}

#[tokio::test]
async fn a_silent_peer_holds_its_place_no_longer_than_the_limit() {
    let ours = Authority::new("ours");
    let handshake = Duration::from_millis(150);
    let server = listen(Limits { handshake, connections_max: 1, ..limits() }, &ours.receiver(), Some(&ours), &[]).await;
    let config = client(VERSIONS[1], &ours, Some(&ours.sender("pas")));
    let began = Instant::now();
    let mut silent = server.open().await;
    assert!(connect(server.addr, config.clone()).await.is_err(), "the one place is taken");
    assert_eq!(silent.answer().await, None);
    refused(&server, HandshakeFailure::Timeout).await;
    assert!(began.elapsed() >= handshake && began.elapsed() < Duration::from_secs(5));
    // A byte now and then is no handshake either.
    let mut slow = server.open().await;
    let began = Instant::now();
    for byte in [22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3] {
        tokio::time::sleep(Duration::from_millis(50)).await;
        slow.stream.write_all(&[byte]).await.ok();
    }
    assert_eq!(slow.answer().await, None);
    assert!(began.elapsed() < Duration::from_secs(5));
    accepted(&mut connect(server.addr, config).await.unwrap(), "1").await;
}

/// The answers of a TLS stream until it is closed, and whether it was closed in order.
async fn answers(stream: &mut (impl AsyncReadExt + Unpin)) -> (Vec<Bytes>, bool) {
    let (mut decoder, mut buffer, mut found) = (Decoder::new(usize::MAX), BytesMut::new(), Vec::new());
    loop {
        while let Some(event) = decoder.decode(&mut buffer).unwrap() {
            let Event::Frame { bytes, .. } = event else { panic!("{event:?}") };
            found.push(bytes);
        }
        match tokio::time::timeout(PATIENCE, stream.read_buf(&mut buffer)).await.unwrap() {
            Ok(0) => return (found, true),
            Ok(_) => {}
            Err(_) => return (found, false),
        }
    }
}

#[tokio::test]
async fn stop_answers_what_is_framed_and_closes_in_order() {
    let ours = Authority::new("ours");
    for version in VERSIONS {
        let server = listen(limits(), &ours.receiver(), Some(&ours), &[]).await;
        let began = Instant::now();
        // In the middle of a handshake.
        let mut silent = server.open().await;
        let config = client(version, &ours, Some(&ours.sender("pas")));
        let stream = TcpStream::connect(server.addr).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = TlsConnector::from(config).connect(name, stream).await.unwrap();
        // Answers of 8 MiB: far more than the sockets and the TLS library hold, so writes wait and go on.
        let ids = ["long", "slow-20", "long", "slow-1"];
        let bytes: Vec<u8> = ids.iter().flat_map(|id| framed(id)).collect();
        stream.write_all(&[&bytes[..], b"\x0BMSH|not complete"].concat()).await.unwrap();
        stream.flush().await.unwrap();
        server.event(|_| (server.probe.frames() == 4).then_some(())).await;
        server.stop.send(true).unwrap();
        let (found, in_order) = answers(&mut stream).await;
        assert_eq!(found.iter().map(Bytes::len).filter(|length| *length > 1_000_000).count(), 2);
        assert_eq!((found.len(), in_order), (4, true));
        assert_eq!(silent.answer().await, None);
        drop((stream, silent));
        tokio::time::timeout(PATIENCE, server.serving).await.unwrap().unwrap();
        assert!(began.elapsed() < Duration::from_secs(8), "nobody was waited for");
    }
}
