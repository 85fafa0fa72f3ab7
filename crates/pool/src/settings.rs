//! The settings of a session as a value: what is in force beyond the server's own defaults, and the statements that
//! bring a connection from one such value to another.

use std::sync::{Arc, LazyLock};

/// Name and value.
type Entry = (Box<[u8]>, Box<[u8]>);

/// Settings in force, sorted by name. Names are lower case; `role` and `session_authorization` are among them.
/// Immutable and shared: a session and the connection that serves it hold the same value, so that comparing them is
/// mostly comparing two pointers.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub struct Settings {
    entries: Vec<Entry>,
}

/// Settings that can be given with the login only (`PGC_BACKEND` and `PGC_SU_BACKEND` in guc_tables.c).
const AT_LOGIN: [&[u8]; 6] = [
    b"ignore_system_indexes",
    b"jit_debugging_support",
    b"jit_profiling_support",
    b"log_connections",
    b"log_disconnections",
    b"post_auth_delay",
];

static EMPTY: LazyLock<Arc<Settings>> = LazyLock::new(Arc::default);

impl Settings {
    /// No settings.
    #[must_use]
    pub fn none() -> Arc<Self> {
        EMPTY.clone()
    }

    /// These settings; of two with one name the later counts. Names are put into lower case.
    pub fn new<'a>(pairs: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Arc<Self> {
        let mut settings = Self::default();
        for (name, value) in pairs {
            settings.set(name, value);
        }
        if settings.entries.is_empty() { Self::none() } else { Arc::new(settings) }
    }

    fn set(&mut self, name: &[u8], value: &[u8]) {
        let name = name.to_ascii_lowercase();
        match self.entries.binary_search_by(|(n, _)| (**n).cmp(&name)) {
            Ok(at) => {
                if let Some(entry) = self.entries.get_mut(at) {
                    entry.1 = value.into();
                }
            }
            Err(at) => self.entries.insert(at, (name.into(), value.into())),
        }
    }

    /// The value of a setting, by its lower-case name.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        let at = self.entries.binary_search_by(|(n, _)| (**n).cmp(name)).ok()?;
        self.entries.get(at).map(|(_, value)| &**value)
    }

    /// This value with one setting changed.
    #[must_use]
    pub fn with(&self, name: &[u8], value: &[u8]) -> Arc<Self> {
        let mut next = Self { entries: self.entries.clone() };
        next.set(name, value);
        Arc::new(next)
    }

    /// This value without one setting.
    #[must_use]
    pub fn without(&self, name: &[u8]) -> Arc<Self> {
        self.filtered(|n| n != name)
    }

    /// Those settings whose name the test keeps.
    #[must_use]
    pub fn filtered(&self, keep: impl Fn(&[u8]) -> bool) -> Arc<Self> {
        let entries: Vec<_> = self.entries.iter().filter(|(n, _)| keep(n)).cloned().collect();
        if entries.is_empty() { Self::none() } else { Arc::new(Self { entries }) }
    }

    /// All settings, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.entries.iter().map(|(n, v)| (&**n, &**v))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Those that a connection for a session that begins with these settings is opened with. As few as possible, so that
    /// any session may have it next: all others can be set later.
    #[must_use]
    pub(crate) fn opened_with(self: &Arc<Self>) -> Arc<Self> {
        let needs_login = self.entries.iter().any(|(name, _)| AT_LOGIN.contains(&&**name));
        if needs_login { self.clone() } else { Self::none() }
    }

    /// Bytes on the heap, about.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.entries.iter().map(|(n, v)| n.len() + v.len() + 32).sum()
    }
}

/// How to bring a connection from one value to another.
#[derive(Debug, PartialEq, Eq)]
pub struct Replay {
    /// Texts for simple queries, to be sent in order, each on its own.
    pub texts: Vec<Vec<u8>>,
    /// Identity, search path or row security change: await the answer before the statement is sent.
    pub sensitive: bool,
}

const ROLE: &[u8] = b"role";
const AUTHORIZATION: &[u8] = b"session_authorization";

impl Replay {
    /// What leads from `have` to `want`; `None` when nothing differs. Identity goes first and the role last, so that
    /// settings are made with the rights of the login, not of the role in force.
    #[must_use]
    pub fn between(have: &Arc<Settings>, want: &Arc<Settings>) -> Option<Self> {
        if Arc::ptr_eq(have, want) || have == want {
            return None;
        }
        let mut text = Vec::new();
        let mut texts = Vec::new();
        let identity = have.get(AUTHORIZATION) != want.get(AUTHORIZATION);
        let role = identity || have.get(ROLE) != want.get(ROLE);
        if have.get(ROLE).is_some() {
            text.extend_from_slice(b"RESET ROLE;");
        }
        if have.get(AUTHORIZATION).is_some() {
            text.extend_from_slice(b"RESET SESSION AUTHORIZATION;");
        }
        // A text is read in the encoding that is in force when it arrives.
        if have.get(b"client_encoding") != want.get(b"client_encoding") {
            assign(&mut text, b"client_encoding", want.get(b"client_encoding"));
            texts.push(std::mem::take(&mut text));
        }
        if let Some(user) = want.get(AUTHORIZATION) {
            text.extend_from_slice(b"SET SESSION AUTHORIZATION ");
            literal(&mut text, user);
            text.push(b';');
        }
        let plain = |name: &[u8]| name != ROLE && name != AUTHORIZATION && name != b"client_encoding";
        let mut sensitive = role;
        for (name, _) in have.iter().filter(|(n, _)| plain(n) && want.get(n).is_none()) {
            assign(&mut text, name, None);
            sensitive |= matters(name);
        }
        for (name, value) in want.iter().filter(|(n, v)| plain(n) && have.get(n) != Some(v)) {
            assign(&mut text, name, Some(value));
            sensitive |= matters(name);
        }
        if let Some(role) = want.get(ROLE) {
            text.extend_from_slice(b"SET ROLE ");
            literal(&mut text, role);
            text.push(b';');
        }
        if !text.is_empty() {
            texts.push(text);
        }
        Some(Self { texts, sensitive })
    }

    /// The texts that set what `want` has and `have` has not, and leave all else alone.
    #[must_use]
    pub fn additions(have: &Settings, want: &Settings) -> Vec<Vec<u8>> {
        let mut text = Vec::new();
        want.iter()
            .filter(|(name, value)| have.get(name) != Some(value))
            .for_each(|(name, value)| assign(&mut text, name, Some(value)));
        if text.is_empty() { Vec::new() } else { vec![text] }
    }
}

/// Settings whose absence would show another's rows or another's tables.
fn matters(name: &[u8]) -> bool {
    name == b"search_path" || name == b"row_security" || name.contains(&b'.')
}

fn assign(text: &mut Vec<u8>, name: &[u8], value: Option<&[u8]>) {
    match value {
        Some(value) => {
            text.extend_from_slice(b"SELECT pg_catalog.set_config(");
            literal(text, name);
            text.push(b',');
            literal(text, value);
            text.extend_from_slice(b",false);");
        }
        None => {
            text.extend_from_slice(b"RESET ");
            // A custom name has several parts, each an identifier.
            for (i, part) in name.split(|&b| b == b'.').enumerate() {
                if i > 0 {
                    text.push(b'.');
                }
                text.push(b'"');
                text.extend(part.iter().flat_map(|&b| std::iter::repeat_n(b, if b == b'"' { 2 } else { 1 })));
                text.push(b'"');
            }
            text.push(b';');
        }
    }
}

/// A string constant that reads the same whatever `standard_conforming_strings` says.
fn literal(text: &mut Vec<u8>, value: &[u8]) {
    if value.contains(&b'\\') {
        text.extend_from_slice(b" E");
    }
    text.push(b'\'');
    for &b in value {
        if b == b'\'' || b == b'\\' {
            text.push(b);
        }
        text.push(b);
    }
    text.push(b'\'');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> Arc<Settings> {
        Settings::new(pairs.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())))
    }

    fn replay(have: &[(&str, &str)], want: &[(&str, &str)]) -> Option<(Vec<String>, bool)> {
        let replay = Replay::between(&settings(have), &settings(want))?;
        let texts = replay.texts.into_iter().map(|t| String::from_utf8(t).unwrap()).collect();
        Some((texts, replay.sensitive))
    }

    #[test]
    fn equal_values_need_nothing() {
        assert_eq!(replay(&[("a", "1")], &[("A", "1")]), None);
        assert_eq!(replay(&[], &[]), None);
    }

    #[test]
    fn only_what_cannot_be_set_later_is_needed_at_login() {
        assert!(settings(&[("timezone", "UTC")]).opened_with().is_empty());
        let both = settings(&[("timezone", "UTC"), ("log_disconnections", "on")]);
        assert_eq!(both.opened_with(), both);
    }

    #[test]
    fn differences_are_sent_in_order() {
        let (texts, sensitive) =
            replay(&[("a", "1"), ("b.c", "x")], &[("a", r"it's \"), ("work_mem", "1MB")]).unwrap();
        assert_eq!(
            texts,
            [
                r#"RESET "b"."c";SELECT pg_catalog.set_config('a', E'it''s \\',false);SELECT pg_catalog.set_config('work_mem','1MB',false);"#
            ]
        );
        assert!(sensitive);
        assert!(!replay(&[], &[("work_mem", "1MB")]).unwrap().1);
    }

    #[test]
    fn settings_are_made_between_identity_and_role() {
        let (texts, sensitive) = replay(
            &[("role", "r1"), ("session_authorization", "s")],
            &[("role", "r2"), ("session_authorization", "t"), ("x.y", "1")],
        )
        .unwrap();
        assert_eq!(
            texts,
            ["RESET ROLE;RESET SESSION AUTHORIZATION;SET SESSION AUTHORIZATION 't';\
              SELECT pg_catalog.set_config('x.y','1',false);SET ROLE 'r2';"]
        );
        assert!(sensitive);
    }

    #[test]
    fn encoding_goes_first_and_alone() {
        let (texts, _) = replay(&[], &[("client_encoding", "LATIN1"), ("x.y", "1")]).unwrap();
        assert_eq!(texts.len(), 2);
        assert!(texts[0].contains("client_encoding"));
    }
}
