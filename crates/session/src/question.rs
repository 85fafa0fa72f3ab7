//! What the server is asked behind a unit, and what its answer says is there. When it is asked, and what follows from it, is
//! `examine`'s.

use bytes::{Buf, Bytes};
use pgsplit_route::PinReason;

use crate::state::is_passing;

/// How many names are asked for that a text has mentioned.
const MOST_MENTIONED: usize = 100;

/// One row for each thing found: what it is, and for settings the name and value. Every name is qualified, because the
/// session's search_path is in force. Without a schema for temporary objects, which most connections never have, the three
/// tables that are read whole for them are not looked at.
pub(crate) const QUESTION: &[u8] = b"\
SELECT source, name, pg_catalog.current_setting(name) FROM pg_catalog.pg_settings \
 WHERE source OPERATOR(pg_catalog.=) ANY ('{session,client}') \
UNION ALL SELECT 'role', '', pg_catalog.current_setting('role') \
UNION ALL SELECT 'authorization', '', session_user::pg_catalog.text \
UNION ALL SELECT 'temporary', '', '' \
 WHERE CASE WHEN pg_catalog.pg_my_temp_schema() OPERATOR(pg_catalog.=) 0 THEN false ELSE EXISTS \
 (SELECT FROM pg_catalog.pg_class WHERE relnamespace OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema()) \
 OR EXISTS (SELECT FROM pg_catalog.pg_proc WHERE pronamespace OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema()) \
 OR EXISTS (SELECT FROM pg_catalog.pg_type WHERE typnamespace OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema()) END \
UNION ALL SELECT 'lock', '', '' WHERE EXISTS (SELECT FROM pg_catalog.pg_locks \
 WHERE locktype OPERATOR(pg_catalog.=) 'advisory' AND pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid()) \
UNION ALL SELECT 'listen', '', '' WHERE EXISTS (SELECT FROM pg_catalog.pg_listening_channels()) \
UNION ALL SELECT 'prepared', '', '' WHERE EXISTS (SELECT FROM pg_catalog.pg_prepared_statements WHERE from_sql) \
UNION ALL SELECT 'hold', '', '' WHERE EXISTS (SELECT FROM pg_catalog.pg_cursors WHERE is_holdable)";

/// The question, with the custom settings that the catalog's code, the session or a function may have set.
pub(crate) fn with_custom(known: &[Box<str>], mentioned: &Mentioned) -> Vec<u8> {
    let mut question = QUESTION.to_vec();
    let known = known.iter().map(|name| name.as_bytes());
    let mentioned = mentioned.names().iter().map(|name| &**name);
    for name in known.chain(mentioned).filter(|name| name.iter().all(is_name_byte)) {
        let parts = [
            &b" UNION ALL SELECT 'custom', '"[..],
            name,
            b"', pg_catalog.current_setting('",
            name,
            b"', true) WHERE pg_catalog.current_setting('",
            name,
            b"', true) IS NOT NULL",
        ];
        parts.iter().for_each(|part| question.extend_from_slice(part));
    }
    question
}

/// A byte of a name that is asked for: no quoting is needed.
pub(crate) fn is_name_byte(b: &u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'$')
}

/// What the server says is there.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub pin: Option<PinReason>,
    pub settings: Vec<(Vec<u8>, Vec<u8>)>,
    /// What the connection was opened with and that is in force.
    pub opened: Vec<(Vec<u8>, Vec<u8>)>,
    /// The session's user.
    pub authorization: Vec<u8>,
}

/// Names that may be custom settings, bounded in number; most sessions have none.
#[derive(Debug, Default)]
pub(crate) struct Mentioned(Option<Box<Names>>);

#[derive(Debug, Default)]
struct Names {
    all: Vec<Box<[u8]>>,
    /// There were more.
    more: bool,
}

impl Mentioned {
    /// As many of the names as there is room for. Where there is none, nobody knows what may have been set.
    pub(crate) fn add(&mut self, new: impl Iterator<Item = Box<[u8]>>) {
        for name in new {
            let names = self.0.get_or_insert_default();
            if names.more {
                return;
            }
            if names.all.contains(&name) {
                continue;
            }
            if names.all.len() >= MOST_MENTIONED {
                names.more = true;
                return;
            }
            names.all.push(name);
        }
    }

    /// Whether there were more names than there was room for.
    pub(crate) fn is_more(&self) -> bool {
        self.0.as_ref().is_some_and(|names| names.more)
    }

    fn names(&self) -> &[Box<[u8]>] {
        self.0.as_ref().map_or(&[], |names| &names.all)
    }
}

impl Found {
    /// From the rows of the answer.
    pub(crate) fn read(rows: &[Bytes]) -> Self {
        let mut found = Self::default();
        for row in rows {
            let Some([kind, name, value]) = columns(row) else { continue };
            let pin = match &*kind {
                b"client" | b"session" if is_passing(&name) => continue,
                b"client" => {
                    found.opened.push((name.to_ascii_lowercase(), value.to_vec()));
                    continue;
                }
                b"session" => {
                    found.settings.push((name.to_ascii_lowercase(), value.to_vec()));
                    continue;
                }
                b"custom" => {
                    found.settings.push((name.to_vec(), value.to_vec()));
                    continue;
                }
                b"role" => {
                    if &*value != b"none" {
                        found.settings.push((b"role".to_vec(), value.to_vec()));
                    }
                    continue;
                }
                b"authorization" => {
                    found.authorization = value.to_vec();
                    continue;
                }
                b"temporary" => PinReason::TemporaryObject,
                b"lock" => PinReason::AdvisoryLock,
                b"listen" => PinReason::Listen,
                b"prepared" => PinReason::Prepared,
                b"hold" => PinReason::HoldCursor,
                _ => continue,
            };
            found.pin.get_or_insert(pin);
        }
        found
    }
}

/// The three text columns of a DataRow.
fn columns(row: &Bytes) -> Option<[Bytes; 3]> {
    let mut row = row.clone();
    if row.try_get_u16().ok()? != 3 {
        return None;
    }
    let mut column = || {
        let length = usize::try_from(row.try_get_i32().ok()?).unwrap_or(0);
        (row.remaining() >= length).then(|| row.split_to(length))
    };
    Some([column()?, column()?, column()?])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(columns: [&str; 3]) -> Bytes {
        let mut out = vec![0, 3];
        for column in columns {
            out.extend_from_slice(&i32::try_from(column.len()).unwrap().to_be_bytes());
            out.extend_from_slice(column.as_bytes());
        }
        out.into()
    }

    #[test]
    fn reads_rows() {
        let rows =
            [row(["session", "DateStyle", "ISO, DMY"]), row(["role", "", "none"]), row(["lock", "", ""])];
        let found = Found::read(&rows);
        assert_eq!(found.settings, [(b"datestyle".to_vec(), b"ISO, DMY".to_vec())]);
        assert_eq!(found.pin, Some(PinReason::AdvisoryLock));
        assert_eq!(Found::read(&[Bytes::from_static(b"\0\x03\0\0\0\x09x")]), Found::default());
    }
}
