//! TLS towards servers, where we are the TLS client.

use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::{ClientConfig, RootCertStore};

use super::verify::AnyName;
use super::{ALPN, TlsError, pem, provider};

/// What is asked of servers (`tls.server`); the levels are libpq's `sslmode`.
///
/// The verifying levels are stricter than OpenSSL in two ways: the certificate must be of version 3 and bear
/// its names as subjectAltName, and it must have been issued by the CA, not be the CA's own (a self-signed
/// one cannot be its own CA).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectLevel {
    /// No TLS.
    Disable,
    /// TLS if the server offers it; nothing is verified.
    Prefer,
    /// TLS or no connection; nothing is verified.
    Require,
    /// The certificate must come from the CA, whatever name it bears.
    VerifyCa,
    /// The certificate must come from the CA and bear the name that was connected to.
    VerifyFull,
}

impl ConnectLevel {
    /// The name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            ConnectLevel::Disable => "disable",
            ConnectLevel::Prefer => "prefer",
            ConnectLevel::Require => "require",
            ConnectLevel::VerifyCa => "verify-ca",
            ConnectLevel::VerifyFull => "verify-full",
        }
    }
}

/// How servers are connected to with TLS. Cheap to clone; a reload makes a new one.
#[derive(Debug, Clone)]
pub struct ClientTls {
    level: ConnectLevel,
    config: Option<Arc<ClientConfig>>,
}

impl ClientTls {
    /// No TLS at all.
    pub fn disabled() -> ClientTls {
        ClientTls { level: ConnectLevel::Disable, config: None }
    }

    /// Loads what `level` needs. Without a `ca` the verifying levels trust the platform's roots. A
    /// certificate with its key is shown to servers that ask for one.
    ///
    /// # Errors
    /// A file is missing, unreadable or not what it should be, certificate and key do not match, or there are
    /// no roots.
    pub fn load(
        level: ConnectLevel,
        ca: Option<&Path>,
        certificate: Option<&Path>,
        key: Option<&Path>,
    ) -> Result<ClientTls, TlsError> {
        if level == ConnectLevel::Disable {
            return Ok(ClientTls::disabled());
        }
        let versions = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let builder = versions.map_err(|error| TlsError::Settings(error.to_string()))?;
        let builder = match level {
            ConnectLevel::VerifyFull => builder.with_root_certificates(roots(ca)?),
            ConnectLevel::VerifyCa => unnamed(builder, Some(roots(ca)?)),
            _ => unnamed(builder, None),
        };
        let missing = |what| Err(TlsError::Missing { level: level.name(), what });
        let mut config = match (certificate, key) {
            (None, None) => builder.with_no_client_auth(),
            (Some(certificate), Some(key)) => {
                builder.with_client_auth_cert(pem::certificates(certificate)?, pem::key(key)?).map_err(
                    |source| TlsError::Pair { certificate: certificate.into(), key: key.into(), source },
                )?
            }
            (Some(_), None) => return missing("the client certificate's private key"),
            (None, Some(_)) => return missing("the certificate that belongs to the client key"),
        };
        config.alpn_protocols = vec![ALPN.to_vec()];
        // Connections live long and PostgreSQL offers none: a cache would only hold memory.
        config.resumption = Resumption::disabled();
        Ok(ClientTls { level, config: Some(Arc::new(config)) })
    }

    /// What is asked of servers.
    pub fn level(&self) -> ConnectLevel {
        self.level
    }

    /// The settings for a handshake, also for the control plane's client library; none without TLS.
    pub fn config(&self) -> Option<Arc<ClientConfig>> {
        self.config.clone()
    }
}

type WantsVerifier = rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>;
type WantsCertificate = rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>;

fn unnamed(builder: WantsVerifier, roots: Option<Arc<RootCertStore>>) -> WantsCertificate {
    let verifier = AnyName::new(roots, &provider());
    builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
}

/// The roots to trust: the CA's file, or what the platform trusts.
fn roots(ca: Option<&Path>) -> Result<Arc<RootCertStore>, TlsError> {
    if let Some(ca) = ca {
        return pem::roots(ca);
    }
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let reasons: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        return Err(TlsError::NoRoots(reasons.join("; ")));
    }
    Ok(Arc::new(roots))
}
