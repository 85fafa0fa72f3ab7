//! Verifiers for users that do not exist, so that they cannot be told from wrong passwords.

use crate::crypto::{DEFAULT_ITERATIONS, Digest32, hmac, random};
use crate::{Error, Verifier};

/// A process's secret from which mock verifiers are derived: PostgreSQL's `mock_authentication_nonce`.
#[derive(Clone)]
pub struct MockSecret(Digest32);

impl MockSecret {
    /// A fresh one; one per process, as a user whose salt changes between two attempts is not a real one.
    pub fn new() -> Result<Self, Error> {
        random().map(Self)
    }

    /// A verifier that no proof satisfies, always the same for a name, which costs a client's login the same
    /// computations as a real one.
    pub fn verifier(&self, user: &str) -> Verifier {
        let part = |purpose: &[u8]| hmac(&self.0, &[purpose, user.as_bytes()]);
        let [salt, stored_key, server_key] = [part(b"salt:"), part(b"stored:"), part(b"server:")];
        let salt = salt.iter().copied().take(16).collect();
        Verifier { iterations: DEFAULT_ITERATIONS, salt, stored_key, server_key, mock: true }
    }
}

impl std::fmt::Debug for MockSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MockSecret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_for_a_name_and_different_between_names_and_processes() {
        let [one, other] = [(); 2].map(|()| MockSecret::new().unwrap());
        assert_eq!(one.verifier("alice"), one.verifier("alice"));
        assert_ne!(one.verifier("alice").salt, one.verifier("bob").salt);
        assert_ne!(one.verifier("alice").salt, other.verifier("alice").salt);
        assert_eq!(one.verifier("alice").salt.len(), 16);
    }
}
