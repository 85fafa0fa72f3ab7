//! `[auth]` and `[tls]`: secrets, files, and what one asks of the other.

use std::path::Path;

use super::Report;
use crate::address::Listen;
use crate::config::{Auth, Config, Tls, TlsIdentity};
use crate::model::{self, AuthMethod, ClientTls};
use crate::secret::Secret;
use crate::users;

/// Longer ones are not passwords.
const LONGEST_SECRET: usize = 64 << 10;

pub(super) fn auth(auth: model::Auth, report: &mut Report<'_>) -> Auth {
    report.require(!auth.user.is_empty(), "auth.user", "must not be empty");
    let users_file = auth.users.map(|path| report.resolve(&path));
    let users = users_file.as_deref().map(users::load).transpose().unwrap_or_else(|message| {
        report.error("auth.users", message);
        None
    });
    let query = Some(auth.query).filter(|query| !query.trim().is_empty());
    if query.as_ref().is_some_and(|query| !query.contains("$1")) {
        report.error("auth.query", "must contain $1, the name of the user who logs in");
    }
    if auth.method == AuthMethod::ScramSha256 && query.is_none() && users_file.is_none() {
        report.error("auth.query", "is empty and there is no `auth.users`: nobody could log in");
    }
    Auth {
        method: auth.method,
        password: auth.password.and_then(|text| secret(text, "auth.password", report)),
        user: auth.user,
        query,
        users: users.unwrap_or_default(),
        users_file,
        hba: auth.hba.map(|path| report.resolve(&path)),
    }
}

/// A secret, from the file that it names or as it stands.
fn secret(text: String, key: &str, report: &mut Report<'_>) -> Option<Secret> {
    let result = match text.strip_prefix("file:") {
        Some(path) => read_secret(&report.resolve(path.as_ref())),
        None => Ok(text),
    };
    match result {
        Ok(secret) if secret.is_empty() => {
            report.error(key, "is empty; leave the key out if there is no password")
        }
        Ok(secret) => return Some(Secret::new(secret)),
        Err(message) => report.error(key, message),
    }
    None
}

fn read_secret(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let content = std::fs::read_to_string(path).map_err(|error| format!("cannot read {shown}: {error}"))?;
    if content.len() > LONGEST_SECRET {
        return Err(format!("{shown} is larger than a secret can be"));
    }
    // Editors and `echo` end a file with a newline that is no part of the secret.
    Ok(content.trim_end_matches(['\n', '\r']).to_owned())
}

pub(super) fn tls(tls: model::Tls, report: &mut Report<'_>) -> Tls {
    let identity = match (tls.cert, tls.key) {
        (Some(cert), Some(key)) => {
            Some(TlsIdentity { cert: report.resolve(&cert), key: report.resolve(&key) })
        }
        (Some(_), None) => {
            report.error("tls.cert", "needs `tls.key`, the certificate's private key");
            None
        }
        (None, Some(_)) => {
            report.error("tls.key", "needs `tls.cert`, the certificate of this key");
            None
        }
        (None, None) => {
            let needed = tls.client >= ClientTls::Require;
            report.require(
                !needed,
                "tls.client",
                "needs `tls.cert` and `tls.key`: there is nothing to offer TLS with",
            );
            None
        }
    };
    if tls.client == ClientTls::VerifyFull && tls.ca.is_none() {
        report.error("tls.client", "verify-full needs `tls.ca`, the authority of the clients' certificates");
    }
    Tls { client: tls.client, server: tls.server, identity, ca: tls.ca.map(|path| report.resolve(&path)) }
}

/// What the tables ask of one another.
pub(super) fn check(config: &Config, report: &mut Report<'_>) {
    if config.auth.method == AuthMethod::Cert && config.tls.client != ClientTls::VerifyFull {
        report.error(
            "auth.method",
            "cert needs tls.client = \"verify-full\": no certificate is asked for otherwise",
        );
    }
    let exposed = config.listen.iter().position(|listen| !listen.is_local());
    if let (AuthMethod::Trust, Some(i)) = (config.auth.method, exposed) {
        let address = config.listen.get(i).map(Listen::to_string).unwrap_or_default();
        report.warn("auth.method", format!("trust lets everyone in who reaches `{address}`"));
    }
}
