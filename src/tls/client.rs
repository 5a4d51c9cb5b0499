//! The sender's side: whom we trust, and the certificate we show.

use std::sync::Arc;

use rustls::ClientConfig;

use super::{Fault, Part, authorities, certificates, pair_fault, private_key, provider};

/// A client's TLS from PEM text: the authorities of which the receiver's certificate must be, and, if one is to be
/// shown, our certificate and its key.
///
/// # Errors
/// The first fault.
pub fn client(trusted: &[u8], identity: Option<(&[u8], &[u8])>) -> Result<Arc<ClientConfig>, Fault> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(pair_fault)?
        .with_root_certificates(authorities(trusted)?);
    let config = match identity {
        Some((certificate, key)) => {
            let chain = certificates(Part::Certificate, certificate)?.into_iter().map(|(der, _)| der).collect();
            builder.with_client_auth_cert(chain, private_key(key)?).map_err(pair_fault)?
        }
        None => builder.with_no_client_auth(),
    };
    Ok(Arc::new(config))
}
