//! The listener's side: our certificate, whose clients we take, and by which names.

use std::ops::RangeInclusive;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme};
use x509_cert::Certificate;
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::der::oid::db::rfc4519::CN;
use x509_cert::der::{Decode, Tag, Tagged};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use super::{Fault, Part, authorities, certificates, pair_fault, private_key, provider};

/// Whom a listener takes.
#[derive(Debug, Clone, Copy)]
pub enum Clients<'a> {
    /// Whoever reaches it; no certificate is asked for.
    Any,
    /// Who shows a certificate of these authorities (PEM), by one of these names unless there are none.
    Certified {
        /// Certificates of the authorities.
        authorities: &'a [u8],
        /// Names of which the certificate must have one; empty takes any.
        subjects: &'a [Subject],
    },
}

/// A name that a client's certificate must have: as common name or as alternative name of that kind, not either.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// `CN=…`: a common name of the subject, to the letter.
    CommonName(String),
    /// `DNS:…`: an alternative name, case ignored; `*` is no wildcard.
    Dns(String),
    /// `URI:…`: an alternative name, to the letter.
    Uri(String),
}

impl Subject {
    /// Reads `CN=…`, `DNS:…` or `URI:…`.
    pub fn parse(text: &str) -> Option<Subject> {
        let after = |prefix| text.strip_prefix(prefix).filter(|name: &&str| !name.is_empty()).map(str::to_owned);
        let name = after("CN=").map(Subject::CommonName);
        name.or_else(|| after("DNS:").map(Subject::Dns)).or_else(|| after("URI:").map(Subject::Uri))
    }

    fn is_of(&self, certificate: &Certificate) -> bool {
        let certificate = &certificate.tbs_certificate;
        if let Subject::CommonName(wanted) = self {
            let texts = [Tag::Utf8String, Tag::PrintableString, Tag::Ia5String, Tag::TeletexString];
            let mut attributes = certificate.subject.0.iter().flat_map(|part| part.0.iter());
            return attributes.any(|AttributeTypeAndValue { oid, value }| {
                *oid == CN && texts.contains(&value.tag()) && value.value() == wanted.as_bytes()
            });
        }
        let Ok(Some((_, SubjectAltName(names)))) = certificate.get() else { return false };
        names.iter().any(|name| match (self, name) {
            (Subject::Dns(wanted), GeneralName::DnsName(name)) => name.as_str().eq_ignore_ascii_case(wanted),
            (Subject::Uri(wanted), GeneralName::UniformResourceIdentifier(name)) => name.as_str() == wanted,
            (Subject::CommonName(_) | Subject::Dns(_) | Subject::Uri(_), _) => false,
        })
    }
}

/// What a listener needs, and how long it holds.
#[derive(Debug, Clone)]
pub struct Server {
    /// For the handshakes.
    pub config: Arc<ServerConfig>,
    /// When every certificate of our chain has become valid, in seconds of Unix time.
    pub valid_from: i64,
    /// When the first certificate of our chain expires, in seconds of Unix time.
    pub valid_until: i64,
}

impl Server {
    /// When every certificate of our chain is valid, in seconds of Unix time.
    pub fn validity(&self) -> RangeInclusive<i64> {
        self.valid_from..=self.valid_until
    }
}

/// A listener's TLS from PEM text: our certificate with its chain, its key, and the clients.
///
/// # Errors
/// Every fault of every part.
pub fn server(certificate: &[u8], key: &[u8], clients: Clients<'_>) -> Result<Server, Vec<Fault>> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| vec![pair_fault(error)])?;
    let (chain, key, verifier) = (certificates(Part::Certificate, certificate), private_key(key), verifier(clients));
    let (chain, key, verifier) = match (chain, key, verifier) {
        (Ok(chain), Ok(key), Ok(verifier)) => (chain, key, verifier),
        (chain, key, verifier) => {
            return Err([chain.err(), key.err(), verifier.err()].into_iter().flatten().collect());
        }
    };
    let validity = || chain.iter().map(|(_, parsed)| &parsed.tbs_certificate.validity);
    let seconds = |time: x509_cert::time::Time| i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX);
    let valid_from = validity().map(|one| seconds(one.not_before)).max().unwrap_or_default();
    let valid_until = validity().map(|one| seconds(one.not_after)).min().unwrap_or_default();
    let builder = match verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let chain = chain.into_iter().map(|(der, _)| der).collect();
    let mut config = builder.with_single_cert(chain, key).map_err(|error| vec![pair_fault(error)])?;
    // A resumed session would not look at the client's certificate again.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Server { config: Arc::new(config), valid_from, valid_until })
}

fn verifier(clients: Clients<'_>) -> Result<Option<Arc<dyn ClientCertVerifier>>, Fault> {
    let Clients::Certified { authorities: pem, subjects } = clients else { return Ok(None) };
    let verifier =
        WebPkiClientVerifier::builder_with_provider(authorities(pem)?, provider()).build().map_err(|error| {
            Fault::new(Part::Authorities, error.to_string(), "give the certificates of the authorities")
        })?;
    Ok(Some(if subjects.is_empty() { verifier } else { Arc::new(Named { verifier, subjects: subjects.to_vec() }) }))
}

/// Asks for a name besides the authority.
#[derive(Debug)]
struct Named {
    verifier: Arc<dyn ClientCertVerifier>,
    subjects: Vec<Subject>,
}

impl ClientCertVerifier for Named {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.verifier.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.verifier.verify_client_cert(end_entity, intermediates, now)?;
        let certificate = Certificate::from_der(end_entity).map_err(|_| CertificateError::BadEncoding)?;
        match self.subjects.iter().any(|subject| subject.is_of(&certificate)) {
            true => Ok(verified),
            false => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}
