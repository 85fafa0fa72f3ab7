//! The channel binding `tls-server-end-point`: a hash of the server's certificate (RFC 5929, section 4.1).
//!
//! The hash function is the one of the certificate's own signature, but SHA-256 instead of MD5 and SHA-1.

use std::sync::Arc;

use sha2::{Digest, Sha256, Sha384, Sha512};

use crate::der::{self, SignatureHash};

/// The hash of a certificate in DER, or none where its signature has no hash function of its own or is not
/// known.
pub(crate) fn tls_server_end_point(certificate: &[u8]) -> Option<Arc<[u8]>> {
    Some(match der::signature_hash(certificate)? {
        SignatureHash::Sha256 => Sha256::digest(certificate).as_slice().into(),
        SignatureHash::Sha384 => Sha384::digest(certificate).as_slice().into(),
        SignatureHash::Sha512 => Sha512::digest(certificate).as_slice().into(),
    })
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    use super::*;

    /// The expected values are those of `openssl x509 -fingerprint`.
    #[test]
    fn the_hash_is_the_certificates_fingerprint() {
        for (name, length, start) in [
            ("version1", 32, [0x3c, 0xa7, 0xe3, 0x82]),
            ("rsa-sha1", 32, [0xbc, 0x52, 0x21, 0xaf]),
            ("pss-sha384", 48, [0x3b, 0x16, 0x33, 0xf6]),
            ("ecdsa-sha384", 48, [0xe6, 0x5a, 0x4c, 0xef]),
            ("rsa-sha512", 64, [0x5c, 0x9a, 0xce, 0xd9]),
        ] {
            let path = format!("{}/tests/data/{name}.pem", env!("CARGO_MANIFEST_DIR"));
            let hash = tls_server_end_point(&CertificateDer::from_pem_file(path).unwrap()).unwrap();
            assert_eq!((hash.len(), &hash[..4]), (length, &start[..]), "{name}");
        }
    }

    #[test]
    fn ed25519_has_none() {
        let path = format!("{}/tests/data/ed25519.pem", env!("CARGO_MANIFEST_DIR"));
        assert!(tls_server_end_point(&CertificateDer::from_pem_file(path).unwrap()).is_none());
    }
}
