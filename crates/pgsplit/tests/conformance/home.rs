//! Where scripts/conformance-setup has put the suites, and where their results go.

use std::fs;
use std::path::{Path, PathBuf};

/// The top of the repository.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn home() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").filter(|target| !target.is_empty());
    // Relative to where the script runs.
    let target = target.map_or_else(|| repository().join("target"), |target| repository().join(target));
    target.join("conformance")
}

/// The sources of the installed PostgreSQL, with what is needed of them built.
pub(crate) fn postgres() -> PathBuf {
    let home = home().join("postgres");
    assert!(
        home.join("built").is_file(),
        "the suites are not there: run `scripts/conformance-setup postgres`"
    );
    home.join("source")
}

/// The Python environment with the drivers.
pub(crate) fn python() -> PathBuf {
    let (wanted, home) = (repository().join("tests/conformance/requirements.txt"), home().join("python"));
    let same = fs::read(home.join("requirements.txt")).ok() == Some(fs::read(wanted).unwrap());
    assert!(
        same,
        "the suites are not there, or not those of the list: run `scripts/conformance-setup python`"
    );
    home
}

/// An empty directory for the results of one run.
pub(crate) fn results(suite: &str, side: &str) -> PathBuf {
    let results = home().join("results").join(format!("{suite}-{side}"));
    let _ = fs::remove_dir_all(&results);
    fs::create_dir_all(&results).unwrap();
    fs::canonicalize(results).unwrap()
}
