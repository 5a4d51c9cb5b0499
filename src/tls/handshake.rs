//! Why a handshake failed, in words that metrics and logs may hold.

use std::io;

use rustls::{CertificateError, Error};

/// Why a peer got no connection. Says nothing of who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HandshakeFailure {
    /// Not done within the time limit.
    Timeout,
    /// The peer closed the connection, or it failed.
    Closed,
    /// What came is not TLS.
    NotTls,
    /// No version or method of encryption in common.
    Incompatible,
    /// The peer does not take our certificate, or gave up for another reason of its own.
    RefusedByPeer,
    /// A client certificate is required and none came.
    NoCertificate,
    /// The client's certificate is not valid yet or no longer.
    CertificateExpired,
    /// The client's certificate is of no authority that the listener trusts.
    UnknownAuthority,
    /// The client's certificate has none of the names that the listener takes.
    UnknownSubject,
    /// The client's certificate cannot be used for another reason: unreadable, or not made for clients.
    CertificateInvalid,
    /// The peer broke the protocol in another way.
    Protocol,
}

impl HandshakeFailure {
    /// The word in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            HandshakeFailure::Timeout => "timeout",
            HandshakeFailure::Closed => "closed",
            HandshakeFailure::NotTls => "not_tls",
            HandshakeFailure::Incompatible => "incompatible",
            HandshakeFailure::RefusedByPeer => "refused_by_peer",
            HandshakeFailure::NoCertificate => "no_certificate",
            HandshakeFailure::CertificateExpired => "certificate_expired",
            HandshakeFailure::UnknownAuthority => "unknown_authority",
            HandshakeFailure::UnknownSubject => "unknown_subject",
            HandshakeFailure::CertificateInvalid => "certificate_invalid",
            HandshakeFailure::Protocol => "protocol",
        }
    }

    /// From what an accepted connection failed with.
    pub(crate) fn of(error: &io::Error) -> HandshakeFailure {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
        match inner {
            None => HandshakeFailure::Closed,
            Some(Error::InvalidMessage(_)) => HandshakeFailure::NotTls,
            Some(Error::PeerIncompatible(_)) => HandshakeFailure::Incompatible,
            Some(Error::AlertReceived(_)) => HandshakeFailure::RefusedByPeer,
            Some(Error::NoCertificatesPresented) => HandshakeFailure::NoCertificate,
            Some(Error::InvalidCertificate(error)) => match error {
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. } => HandshakeFailure::CertificateExpired,
                // A forged certificate names an authority whose signature it does not have.
                CertificateError::UnknownIssuer | CertificateError::BadSignature => HandshakeFailure::UnknownAuthority,
                CertificateError::ApplicationVerificationFailure => HandshakeFailure::UnknownSubject,
                _ => HandshakeFailure::CertificateInvalid,
            },
            Some(_) => HandshakeFailure::Protocol,
        }
    }
}
