//! Authorities and certificates made for one test, and clients that show them.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use fairway::mllp::client::{Client, Target};
use fairway::tls::{ClientConfig, Clients, ServerName, Subject, server};
use rcgen::string::Ia5String;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType, date_time_ymd};
use rustls::SupportedProtocolVersion;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};

use crate::probe::{PATIENCE, Server, start_with};
use fairway::mllp::listener::Limits;

pub(crate) const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// A certificate authority.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, as PEM.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Authority {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate with this common name, the alternative names and the last year in which it is valid.
    pub(crate) fn issue(&self, name: &str, alternatives: Vec<SanType>, last_year: i32) -> Pair {
        self.issue_from(None, name, alternatives, last_year)
    }

    /// The same, valid from a moment on.
    pub(crate) fn issue_from(
        &self,
        from: Option<SystemTime>,
        name: &str,
        alternatives: Vec<SanType>,
        last_year: i32,
    ) -> Pair {
        let mut params = CertificateParams::default();
        if let Some(from) = from {
            params.not_before = from.into();
        }
        params.distinguished_name.push(DnType::CommonName, name);
        params.subject_alt_names = alternatives;
        params.not_after = date_time_ymd(last_year, 12, 31);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Pair { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// A receiver's certificate, for `localhost`.
    pub(crate) fn receiver(&self) -> Pair {
        self.issue("receiver", vec![dns("localhost")], 2999)
    }

    /// A sender's certificate.
    pub(crate) fn sender(&self, name: &str) -> Pair {
        self.issue(name, Vec::new(), 2999)
    }
}

pub(crate) fn dns(name: &str) -> SanType {
    SanType::DnsName(Ia5String::try_from(name).unwrap())
}

pub(crate) fn uri(name: &str) -> SanType {
    SanType::URI(Ia5String::try_from(name).unwrap())
}

/// A client of this TLS version that trusts one authority and shows `identity`.
pub(crate) fn client(
    version: &'static SupportedProtocolVersion,
    trusted: &Authority,
    identity: Option<&Pair>,
) -> Arc<ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusted.pem().as_bytes()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_protocol_versions(&[version]).with_root_certificates(roots);
    Arc::new(match identity {
        None => builder.with_no_client_auth(),
        Some(pair) => {
            let chain = vec![CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap()];
            builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap()).unwrap()
        }
    })
}

pub(crate) fn target(address: SocketAddr, config: Arc<ClientConfig>) -> Target {
    let tls = Some((config, ServerName::try_from("localhost").unwrap()));
    Target { address: address.to_string(), timeout: PATIENCE, tls }
}

pub(crate) async fn connect(address: SocketAddr, config: Arc<ClientConfig>) -> std::io::Result<Client> {
    Client::connect_to(&target(address, config)).await
}

/// A listener with this certificate that takes the clients of `authority`, or anybody.
pub(crate) async fn listen(limits: Limits, own: &Pair, authority: Option<&Authority>, subjects: &[&str]) -> Server {
    let authorities = authority.map(Authority::pem);
    let subjects: Vec<Subject> = subjects.iter().map(|text| Subject::parse(text).unwrap()).collect();
    let clients = match &authorities {
        Some(pem) => Clients::Certified { authorities: pem.as_bytes(), subjects: &subjects },
        None => Clients::Any,
    };
    let made = server(own.certificate.as_bytes(), own.key.as_bytes(), clients).unwrap();
    start_with(limits, Some(tokio::sync::watch::channel(made.config).1)).await
}

/// Puts a file in place in one step, as renewal tools do.
pub(crate) fn put(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    std::fs::write(&beside, text).unwrap();
    std::fs::rename(&beside, path).unwrap();
}
