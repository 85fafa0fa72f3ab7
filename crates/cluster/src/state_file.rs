//! Remembers the highest timeline across restarts, so that an old primary that is found alone is not written to.
//!
//! Two lines of text that an operator may edit or delete. The file is advice: when it cannot be written the control
//! plane goes on with a warning.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// What the file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Remembered {
    /// The cluster's system identifier.
    pub(crate) system: u64,
    /// The highest timeline seen.
    pub(crate) timeline: u32,
}

/// The file, and what it is known to hold.
pub(crate) struct StateFile {
    path: Option<PathBuf>,
    written: Mutex<Option<Remembered>>,
}

impl StateFile {
    /// Opens the file, which may be missing or unreadable.
    pub(crate) fn load(path: Option<PathBuf>) -> Self {
        let remembered = path.as_deref().and_then(|path| match std::fs::read_to_string(path) {
            Ok(text) => {
                let parsed = parse(&text);
                if parsed.is_none() {
                    tracing::warn!(target: "cluster", path = %path.display(), "the state file is not readable and is ignored");
                }
                parsed
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(target: "cluster", path = %path.display(), %error, "cannot read the state file");
                None
            }
        });
        Self { path, written: Mutex::new(remembered) }
    }

    pub(crate) fn remembered(&self) -> Option<Remembered> {
        *self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the file's content, unless a later call has already written a higher timeline. Blocks on the disk.
    pub(crate) fn save(&self, new: Remembered) {
        let Some(path) = &self.path else { return };
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if written.is_some_and(|old| old.system == new.system && old.timeline >= new.timeline) {
            return;
        }
        match replace(path, &format(new)) {
            Ok(()) => *written = Some(new),
            Err(error) => tracing::warn!(
                target: "cluster", path = %path.display(), %error,
                "cannot write the state file; after a restart an old primary could be taken for the present one"
            ),
        }
    }
}

fn format(state: Remembered) -> String {
    format!(
        "# pgsplit: the newest timeline seen. Delete this file when the cluster was rebuilt or rewound on purpose.\n\
         system_identifier = \"{}\"\ntimeline = {}\n",
        state.system, state.timeline
    )
}

fn parse(text: &str) -> Option<Remembered> {
    let value = |key: &str| {
        text.lines().find_map(|line| {
            let (name, value) = line.split_once('=')?;
            (name.trim() == key).then(|| value.trim().trim_matches('"'))
        })
    };
    Some(Remembered {
        system: value("system_identifier")?.parse().ok()?,
        timeline: value("timeline")?.parse().ok()?,
    })
}

/// Readers see the old content or the new one, also after a crash.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let mut file = std::fs::File::create(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATE: Remembered = Remembered { system: u64::MAX, timeline: 7 };

    #[test]
    fn what_is_saved_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pgsplit.state");
        let file = StateFile::load(Some(path.clone()));
        assert_eq!(file.remembered(), None);
        file.save(STATE);
        file.save(Remembered { timeline: 6, ..STATE });
        assert_eq!(StateFile::load(Some(path)).remembered(), Some(STATE));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn nonsense_and_unwritable_paths_are_survived() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pgsplit.state");
        std::fs::write(&path, "timeline = many").unwrap();
        assert_eq!(StateFile::load(Some(path)).remembered(), None);
        let file = StateFile::load(Some(folder.path().join("no/such/folder")));
        file.save(STATE);
        assert_eq!(file.remembered(), None);
        StateFile::load(None).save(STATE);
    }
}
