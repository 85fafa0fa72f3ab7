//! Finds the PostgreSQL that is installed: any major version from 13 on, the newest first.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::Error;

const OLDEST: u32 = 13;
const NEEDED: [&str; 4] = ["postgres", "initdb", "pg_basebackup", "psql"];

/// An installed PostgreSQL: the directory of its programs and its major version.
#[derive(Debug, Clone)]
pub struct Postgres {
    directory: PathBuf,
    version: u32,
}

impl Postgres {
    /// Looks at `PGSPLIT_PG_BINDIR`, then asks `pg_config`, then looks in the usual places and takes
    /// the newest. A `PGSPLIT_PG_BINDIR` that holds no server is an error, not a reason to look on.
    pub fn find() -> Result<Self, Error> {
        if let Some(directory) = env::var_os("PGSPLIT_PG_BINDIR").map(PathBuf::from) {
            let searched = format!("PGSPLIT_PG_BINDIR={}", directory.display());
            return Self::at(&directory).ok_or(Error::NotInstalled { searched });
        }
        let configured = pg_config();
        if let Some(found) = configured.as_deref().and_then(Self::at) {
            return Ok(found);
        }
        let newest =
            PLACES.iter().flat_map(|place| expand(place)).filter_map(|directory| Self::at(&directory));
        newest.max_by_key(|found| found.version).ok_or_else(|| Error::NotInstalled {
            searched: format!("pg_config on PATH, {}", PLACES.join(", ")),
        })
    }

    /// The installation whose programs are in `directory`, when it is complete and new enough.
    fn at(directory: &Path) -> Option<Self> {
        if !NEEDED.iter().all(|name| directory.join(name).is_file()) {
            return None;
        }
        let output = Command::new(directory.join("postgres")).arg("--version").output().ok()?;
        let version = major(&String::from_utf8_lossy(&output.stdout))?;
        (version >= OLDEST).then(|| Self { directory: directory.to_owned(), version })
    }

    /// The path of one of its programs (`psql`, `pgbench`, ...).
    pub fn program(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The major version: 15 for 15.18.
    pub fn version(&self) -> u32 {
        self.version
    }
}

/// Where packages put the programs; one `*` stands for any directory.
const PLACES: [&str; 7] = [
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/local/pgsql/bin",
    "/usr/libexec/postgresql*",
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/opt/postgresql*/bin",
    "/usr/bin",
];

fn pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    let directory = String::from_utf8(output.stdout).ok()?;
    Some(PathBuf::from(directory.trim_end()))
}

/// The existing directories that a pattern with at most one `*` names.
fn expand(pattern: &str) -> Vec<PathBuf> {
    let Some((before, after)) = pattern.split_once('*') else {
        return vec![PathBuf::from(pattern)];
    };
    let (parent, prefix) = before.rsplit_once('/').unwrap_or(("", before));
    let Ok(entries) = fs::read_dir(parent) else { return Vec::new() };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    names
        .filter(|name| name.starts_with(prefix))
        .map(|name| PathBuf::from(format!("{parent}/{name}{after}")))
        .collect()
}

/// `15` from `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`, and from `15beta1`, `15devel`.
fn major(version: &str) -> Option<u32> {
    let number = version.split_once("(PostgreSQL) ")?.1;
    let digits = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
    number.get(..digits)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_versions() {
        assert_eq!(major("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(15));
        assert_eq!(major("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(major("something else"), None);
    }

    #[test]
    fn expands_one_star() {
        assert_eq!(expand("/no/such/place/*/bin"), Vec::<PathBuf>::new());
        assert!(expand("/proc/sel*/comm").contains(&PathBuf::from("/proc/self/comm")));
    }

    #[test]
    fn an_incomplete_directory_is_no_installation() {
        assert!(Postgres::at(Path::new("/")).is_none());
    }

    #[test]
    fn the_error_says_what_to_install() {
        let error = Error::NotInstalled { searched: "/nowhere".into() }.to_string();
        assert!(error.contains("apt-get install postgresql") && error.contains("PGSPLIT_PG_BINDIR"));
    }
}
