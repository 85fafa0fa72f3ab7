//! TLS towards clients, where we are the TLS server.

use std::path::Path;
use std::sync::Arc;

use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{InconsistentKeys, ServerConfig};

use super::{ALPN, TlsError, binding, pem, provider};
use crate::der;

/// What is asked of clients (`tls.client`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcceptLevel {
    /// No TLS.
    Disable,
    /// TLS for those who ask for it.
    Prefer,
    /// No connection without TLS, but over Unix sockets.
    Require,
    /// As `Require`, and the client must show a certificate that the CA has signed.
    VerifyFull,
}

impl AcceptLevel {
    /// The name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            AcceptLevel::Disable => "disable",
            AcceptLevel::Prefer => "prefer",
            AcceptLevel::Require => "require",
            AcceptLevel::VerifyFull => "verify-full",
        }
    }
}

/// How clients are served with TLS. Cheap to clone; a reload makes a new one.
#[derive(Debug, Clone)]
pub struct ServerTls {
    level: AcceptLevel,
    config: Option<Arc<ServerConfig>>,
    end_point: Option<Arc<[u8]>>,
}

impl ServerTls {
    /// No TLS at all.
    pub fn disabled() -> ServerTls {
        ServerTls { level: AcceptLevel::Disable, config: None, end_point: None }
    }

    /// Loads what `level` needs. `prefer` without a certificate is served as `disable`. Where a `ca` is
    /// given, clients are asked for a certificate, and one that is shown must be signed by it, at every
    /// level; `verify-full` refuses those that show none.
    ///
    /// # Errors
    /// A file is missing, unreadable or not what it should be, or certificate and key do not match.
    pub fn load(
        level: AcceptLevel,
        certificate: Option<&Path>,
        key: Option<&Path>,
        ca: Option<&Path>,
    ) -> Result<ServerTls, TlsError> {
        let missing = |what| Err(TlsError::Missing { level: level.name(), what });
        let (certificate, key) = match (level, certificate, key) {
            (AcceptLevel::Disable, _, _) | (AcceptLevel::Prefer, None, None) => {
                return Ok(ServerTls::disabled());
            }
            (_, Some(certificate), Some(key)) => (certificate, key),
            (_, None, _) => return missing("a certificate (`cert`)"),
            (_, Some(_), None) => return missing("the certificate's private key (`key`)"),
        };
        if level == AcceptLevel::VerifyFull && ca.is_none() {
            return missing("the certificate of the CA that signs clients' certificates (`ca`)");
        }
        let certified = certified(certificate, key)?;
        let end_point = certified.cert.first().and_then(|leaf| binding::tls_server_end_point(leaf));
        let config = Arc::new(config(level, certified, ca)?);
        Ok(ServerTls { level, config: Some(config), end_point })
    }

    /// What is asked of clients.
    pub fn level(&self) -> AcceptLevel {
        self.level
    }

    /// Whether a connection without TLS must be refused.
    pub fn is_required(&self) -> bool {
        matches!(self.level, AcceptLevel::Require | AcceptLevel::VerifyFull)
    }

    /// The settings for a handshake; none without TLS.
    pub fn config(&self) -> Option<Arc<ServerConfig>> {
        self.config.clone()
    }

    /// The channel binding data of our certificate; see [`crate::Stream::tls_server_end_point`].
    pub fn end_point(&self) -> Option<Arc<[u8]>> {
        self.end_point.clone()
    }
}

/// A chain with its key. Whether they match is checked by our own reading of the certificate, since rustls's
/// refuses certificates of version 1, which are good enough for PostgreSQL and its clients.
fn certified(certificate: &Path, key: &Path) -> Result<CertifiedKey, TlsError> {
    let refused = |source| TlsError::Pair { certificate: certificate.into(), key: key.into(), source };
    let chain = pem::certificates(certificate)?;
    let signer = provider().key_provider.load_private_key(pem::key(key)?).map_err(refused)?;
    let certified = chain.first().and_then(|leaf| der::public_key_info(leaf));
    if certified.is_none() || signer.public_key().as_deref() != certified {
        return Err(refused(InconsistentKeys::KeyMismatch.into()));
    }
    Ok(CertifiedKey::new(chain, signer))
}

fn config(level: AcceptLevel, certified: CertifiedKey, ca: Option<&Path>) -> Result<ServerConfig, TlsError> {
    let versions = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let builder = versions.map_err(|error| TlsError::Settings(error.to_string()))?;
    let builder = match ca {
        None => builder.with_no_client_auth(),
        Some(ca) => {
            let mut verifier = WebPkiClientVerifier::builder_with_provider(pem::roots(ca)?, provider());
            if level != AcceptLevel::VerifyFull {
                verifier = verifier.allow_unauthenticated();
            }
            let verifier = verifier.build().map_err(|error| TlsError::Settings(error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![ALPN.to_vec()];
    // As PostgreSQL: no resumption. Drivers do not use it, and a resumed session would outlive a change of
    // the CA.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}
