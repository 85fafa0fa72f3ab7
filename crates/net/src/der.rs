//! The three things that we read from a certificate by ourselves: which hash its signature uses, whose name
//! it bears and its public key.
//!
//! rustls verifies certificates but hands out none of these. This is not a verifier: it walks a few levels of
//! DER, checks every length, and answers "none" to anything that it does not know. What it reads has been
//! parsed by TLS before.

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OID: u8 = 0x06;
const VERSION: u8 = 0xa0;
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
const IA5_STRING: u8 = 0x16;

const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// 1.2.840.113549.1.1, the RSA signatures; the next byte tells which.
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
/// 1.2.840.10045.4, the ECDSA signatures.
const ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04];
/// 2.16.840.1.101.3.4.2, the SHA-2 hashes.
const SHA2: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02];

/// The hash of a channel binding, by RFC 5929.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SignatureHash {
    Sha256,
    Sha384,
    Sha512,
}

/// The hash function that the channel binding of a certificate uses.
pub(crate) fn signature_hash(certificate: &[u8]) -> Option<SignatureHash> {
    let mut certificate = Reader(Reader(certificate).take(SEQUENCE)?);
    certificate.take(SEQUENCE)?;
    let mut algorithm = Reader(certificate.take(SEQUENCE)?);
    let oid = algorithm.take(OID)?;
    if let Some(kind) = oid.strip_prefix(RSA) {
        return match kind {
            // MD5 and SHA-1 are replaced by SHA-256.
            [4 | 5 | 11] => Some(SignatureHash::Sha256),
            [12] => Some(SignatureHash::Sha384),
            [13] => Some(SignatureHash::Sha512),
            [10] => pss_hash(algorithm),
            _ => None,
        };
    }
    match oid.strip_prefix(ECDSA)? {
        [1] | [3, 2] => Some(SignatureHash::Sha256),
        [3, 3] => Some(SignatureHash::Sha384),
        [3, 4] => Some(SignatureHash::Sha512),
        _ => None,
    }
}

/// RSASSA-PSS names its hash in the parameters (RFC 4055, section 3.1); without one it is SHA-1.
fn pss_hash(mut algorithm: Reader<'_>) -> Option<SignatureHash> {
    let mut parameters = Reader(algorithm.take(SEQUENCE)?);
    let Some(tagged) = parameters.take(0xa0) else { return Some(SignatureHash::Sha256) };
    let oid = Reader(Reader(tagged).take(SEQUENCE)?).take(OID)?;
    match oid.strip_prefix(SHA2)? {
        [1] => Some(SignatureHash::Sha256),
        [2] => Some(SignatureHash::Sha384),
        [3] => Some(SignatureHash::Sha512),
        _ => None,
    }
}

/// The subject's first common name, as PostgreSQL takes it; none if it holds a NUL, which could end it early
/// elsewhere.
pub(crate) fn common_name(certificate: &[u8]) -> Option<String> {
    let mut fields = after_validity(certificate)?;
    let mut subject = Reader(fields.take(SEQUENCE)?);
    while let Some(set) = subject.take(SET) {
        let mut attributes = Reader(set);
        while let Some(attribute) = attributes.take(SEQUENCE) {
            let mut attribute = Reader(attribute);
            if attribute.take(OID)? == COMMON_NAME {
                let (tag, value) = attribute.next()?;
                let known = matches!(tag, UTF8_STRING | PRINTABLE_STRING | IA5_STRING) && !value.contains(&0);
                return if known { String::from_utf8(value.to_vec()).ok() } else { None };
            }
        }
    }
    None
}

/// The SubjectPublicKeyInfo with its header, also of certificates of version 1, which rustls refuses to read.
pub(crate) fn public_key_info(certificate: &[u8]) -> Option<&[u8]> {
    let mut fields = after_validity(certificate)?;
    fields.take(SEQUENCE)?;
    let whole = fields.0;
    fields.take(SEQUENCE)?;
    whole.get(..whole.len().checked_sub(fields.0.len())?)
}

/// The fields of a TBSCertificate (RFC 5280, section 4.1) from the subject on.
fn after_validity(certificate: &[u8]) -> Option<Reader<'_>> {
    let mut certificate = Reader(Reader(certificate).take(SEQUENCE)?);
    let mut fields = Reader(certificate.take(SEQUENCE)?);
    // Version 1 leaves the version out, so that the first element may already be the serial number.
    if fields.next()?.0 == VERSION {
        fields.next()?;
    }
    // Signature algorithm, issuer, validity.
    for _ in 0..3 {
        fields.take(SEQUENCE)?;
    }
    Some(fields)
}

/// Elements one after the other.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// The next element's content if it has this tag; otherwise nothing is consumed.
    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let before = self.0;
        match self.next() {
            Some((found, content)) if found == tag => Some(content),
            _ => {
                self.0 = before;
                None
            }
        }
    }

    /// The next element's tag and content.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, mut rest) = rest.split_first()?;
        let mut length = usize::from(first);
        if first >= 0x80 {
            let (digits, after) = rest.split_at_checked(usize::from(first & 0x7f))?;
            if digits.is_empty() || digits.len() > 3 {
                return None;
            }
            length = digits.iter().fold(0, |sum, &digit| sum << 8 | usize::from(digit));
            rest = after;
        }
        let (content, after) = rest.split_at_checked(length)?;
        self.0 = after;
        Some((tag, content))
    }
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    use super::*;

    /// Certificates that `openssl x509` has made; they are never trusted by anything.
    fn certificate(name: &str) -> CertificateDer<'static> {
        let path = format!("{}/tests/data/{name}.pem", env!("CARGO_MANIFEST_DIR"));
        CertificateDer::from_pem_file(path).unwrap()
    }

    #[test]
    fn every_signature_has_its_hash() {
        use SignatureHash::*;
        for (name, hash) in [
            ("version1", Some(Sha256)),
            ("ecdsa-sha384", Some(Sha384)),
            ("rsa-sha1", Some(Sha256)),
            ("rsa-sha512", Some(Sha512)),
            ("pss-sha1", Some(Sha256)),
            ("pss-sha384", Some(Sha384)),
            ("ed25519", None),
        ] {
            assert_eq!(signature_hash(&certificate(name)), hash, "{name}");
        }
    }

    #[test]
    fn the_first_common_name_counts() {
        for (name, subject) in [
            ("version1", Some("version1")),
            ("rsa-sha512", Some("rsa-sha512")),
            ("ecdsa-sha384", Some("first")),
            ("ed25519", None),
        ] {
            assert_eq!(common_name(&certificate(name)).as_deref(), subject, "{name}");
        }
    }

    #[test]
    fn a_common_name_with_a_nul_is_none() {
        let mut der = certificate("version1").to_vec();
        let places: Vec<usize> = (0..der.len()).filter(|&at| der[at..].starts_with(b"version1")).collect();
        for at in places {
            der[at + 3] = 0;
        }
        assert_eq!(common_name(&der), None);
    }

    #[test]
    fn the_public_key_is_the_one_that_rustls_reads() {
        for name in ["ecdsa-sha384", "rsa-sha512", "ed25519"] {
            let certificate = certificate(name);
            let parsed = rustls::server::ParsedCertificate::try_from(&certificate).unwrap();
            assert_eq!(
                public_key_info(&certificate),
                Some(parsed.subject_public_key_info().as_ref()),
                "{name}"
            );
        }
        assert!(public_key_info(&certificate("version1")).is_some());
    }

    #[test]
    fn a_cut_or_changed_certificate_does_no_harm() {
        let whole = certificate("ecdsa-sha384").to_vec();
        for end in 0..whole.len() {
            let cut = &whole[..end];
            assert_eq!((signature_hash(cut), common_name(cut), public_key_info(cut)), (None, None, None));
        }
        for at in 0..whole.len() {
            for value in [0, 0x30, 0x7f, 0x80, 0x84, 0xff] {
                let mut changed = whole.clone();
                changed[at] = value;
                let _ = (signature_hash(&changed), common_name(&changed), public_key_info(&changed));
            }
        }
    }
}
