//! TLS for MLLP: from PEM text to what listeners and clients need, and what became of a handshake.
//!
//! Reads no file, never tells what stands in a peer's certificate, and knows nothing of messages.

mod client;
mod handshake;
mod server;

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{InconsistentKeys, RootCertStore};
use x509_cert::Certificate;
use x509_cert::der::Decode;

pub use client::client;
pub use handshake::HandshakeFailure;
pub use rustls::pki_types::ServerName;
pub use rustls::{ClientConfig, ServerConfig};
pub use server::{Clients, Server, Subject, server};

/// Which of the files a fault is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Our certificate with its chain.
    Certificate,
    /// Its private key.
    Key,
    /// The certificates of the authorities that we trust.
    Authorities,
}

/// What is wrong with a file, and what to do. Holds nothing of a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// The file.
    pub part: Part,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: &'static str,
}

impl Fault {
    /// A fault of one part.
    pub fn new(part: Part, message: impl Into<String>, hint: &'static str) -> Fault {
        Fault { part, message: message.into(), hint }
    }
}

/// The one provider of cryptography.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

const CERTIFICATE_HINT: &str =
    "it must hold `-----BEGIN CERTIFICATE-----`; `openssl x509 -inform der -in FILE` makes PEM of DER";
const KEY_HINT: &str = "it must hold a private key without a passphrase: `-----BEGIN PRIVATE KEY-----`";

/// The certificates in PEM text, in order; at least one, and each readable.
fn certificates(part: Part, text: &[u8]) -> Result<Vec<(CertificateDer<'static>, Certificate)>, Fault> {
    let mut found = Vec::new();
    for der in CertificateDer::pem_slice_iter(text) {
        let der = der.map_err(|error| Fault::new(part, format!("the PEM is broken: {error}"), CERTIFICATE_HINT))?;
        let parsed = Certificate::from_der(&der).map_err(|error| {
            let message = format!("certificate {} cannot be read: {error}", found.len() + 1);
            Fault::new(part, message, "ask its issuer for it again")
        })?;
        found.push((der, parsed));
    }
    if found.is_empty() {
        return Err(Fault::new(part, "there is no PEM certificate in it", CERTIFICATE_HINT));
    }
    Ok(found)
}

/// The first private key in PEM text.
fn private_key(text: &[u8]) -> Result<PrivateKeyDer<'static>, Fault> {
    PrivateKeyDer::from_pem_slice(text).map_err(|error| {
        let message = match error {
            pem::Error::NoItemsFound => "there is no PEM private key in it".to_owned(),
            // The others may quote what they read.
            _ => "the PEM is broken".to_owned(),
        };
        Fault::new(Part::Key, message, KEY_HINT)
    })
}

/// The authorities in PEM text.
fn authorities(text: &[u8]) -> Result<Arc<RootCertStore>, Fault> {
    let mut roots = RootCertStore::empty();
    for (der, _) in certificates(Part::Authorities, text)? {
        roots.add(der).map_err(|error| {
            let message = format!("a certificate of it cannot be an authority: {error}");
            Fault::new(Part::Authorities, message, "give the certificates of the authorities")
        })?;
    }
    Ok(Arc::new(roots))
}

/// What is wrong with a certificate and its key, both readable.
fn pair_fault(error: rustls::Error) -> Fault {
    match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            let hint = "the first certificate of the file must be the one made for this key";
            Fault::new(Part::Key, "the key does not belong to the certificate", hint)
        }
        error => Fault::new(Part::Key, format!("the key cannot be used: {error}"), "use an ECDSA, Ed25519 or RSA key"),
    }
}
