//! The users file: `name = "SCRAM verifier or password"`, one a line, in TOML.

use std::collections::BTreeMap;
use std::path::Path;

use crate::secret::Secret;

/// Larger files are not users files.
const LARGEST: u64 = 16 << 20;

/// Reads a users file.
pub(crate) fn load(path: &Path) -> Result<BTreeMap<String, Secret>, String> {
    let shown = path.display();
    let size = std::fs::metadata(path).map_err(|error| format!("cannot read {shown}: {error}"))?.len();
    if size > LARGEST {
        return Err(format!("{shown} is larger than 16 MiB"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {shown}: {error}"))?;
    let users: BTreeMap<String, String> = toml::from_str(&text).map_err(|error| {
        let line = error
            .span()
            .map_or(1, |span| text.get(..span.start).unwrap_or_default().matches('\n').count() + 1);
        // Not the error's own text: it shows the line, and the line is a secret.
        format!("{shown}, line {line}: expected name = \"SCRAM verifier or password\"")
    })?;
    Ok(users.into_iter().map(|(name, secret)| (name, Secret::new(secret))).collect())
}
