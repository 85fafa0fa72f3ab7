//! What a unit of the client's messages asks for: the hint that applies to it and the rule that matches.

use std::net::IpAddr;
use std::sync::Arc;

use pgsplit_config::ConsistencyLevel;
use pgsplit_net::Peer;
use pgsplit_pool::Settings;
use pgsplit_route::rules::{Found, Mask, Rule, SearchPath, Share, Speaker, Words};
use pgsplit_route::{Aim, Asked, Hint, Lsn};
use pgsplit_sql::tags::Tags;
use pgsplit_sql::{Around, Catalog, Facts};

use crate::session::Session;
use crate::shared::SessionSettings;

/// See the module.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Ask {
    pub hint: Option<Aim>,
    pub found: Found,
    /// Nothing is carried out: statements are only prepared or described.
    pub prepares: bool,
    /// A replica has refused it before.
    pub refused: bool,
    /// The level that a hint asks for.
    pub level: Option<ConsistencyLevel>,
    /// The position that a hint asks for; zero for none.
    pub position: Lsn,
}

impl Ask {
    pub(crate) fn rule(self, settings: &SessionSettings) -> Option<&Rule> {
        self.found.rule.and_then(|id| settings.rules.get(id))
    }

    /// What several statements that must stay together ask for: what all of them ask for, or else the primary if one of
    /// them does, or else nothing.
    pub(crate) fn with(self, other: Self, settings: &SessionSettings) -> Self {
        let primary = |ask: &Self| ask.rule(settings).is_some_and(|rule| rule.aim == Some(Aim::Primary));
        let rule = match [self, other].iter().find(|ask| primary(ask)) {
            Some(ask) => ask.found.rule,
            None => self.found.rule.filter(|_| self.found.rule == other.found.rule),
        };
        let hint = match (self.hint, other.hint) {
            (Some(Aim::Primary), _) | (_, Some(Aim::Primary)) => Some(Aim::Primary),
            (one, two) => one.filter(|_| one == two),
        };
        Self {
            hint,
            found: Found { rule, shadow: self.found.shadow.or(other.found.shadow) },
            prepares: self.prepares && other.prepares,
            refused: self.refused || other.refused,
            level: self.level.max(other.level),
            position: self.position.max(other.position),
        }
    }
}

/// Tags and hint of a text that was prepared: its Bind has none.
#[derive(Debug, Default)]
pub(crate) struct Said {
    hint: Option<Box<str>>,
    tags: Option<Box<[u8]>>,
}

impl Said {
    pub(crate) fn of(around: &Around<'_>) -> Self {
        let (hint, tags) = around.said();
        Self { hint: hint.map(Into::into), tags: tags.map(|tags| tags.body().into()) }
    }

    pub(crate) fn words(&self) -> Words<'_> {
        Words { hint: self.hint.as_deref(), tags: self.tags.as_deref().and_then(Tags::parse) }
    }
}

/// The words around a text.
pub(crate) fn words<'t>(around: &Around<'t>) -> Words<'t> {
    let (hint, tags) = around.said();
    Words { hint, tags }
}

/// The rules whose conditions on the session hold, and for which rules and settings that is so.
#[derive(Debug, Default)]
pub(crate) struct Audience {
    generation: u64,
    settings: Option<Arc<Settings>>,
    rules: Mask,
    path: Option<KnownPath>,
}

/// A search_path, and what it was made of.
#[derive(Debug)]
struct KnownPath {
    settings: Arc<Settings>,
    default: Option<Arc<String>>,
    path: Arc<SearchPath>,
}

impl Session {
    /// What a statement asks for.
    pub(crate) fn asks_for(&mut self, facts: &Facts, catalog: &Catalog, words: Words<'_>) -> Ask {
        let said = words.hint.filter(|_| self.settings.hints).map(Hint::read).unwrap_or_default();
        let word = said.word.or(self.state.settings.own.now().target.as_deref());
        let word = word.filter(|_| self.settings.hints);
        let (level, position) = (said.level, said.position.unwrap_or_default());
        let hint = word.and_then(|word| Aim::of_word(word, &self.shared.view.load()));
        let refused = self.shared.refusals.has(facts, &self.users.key);
        if self.settings.rules.is_empty() {
            return Ask { hint, refused, level, position, ..Ask::default() };
        }
        let rules = &self.settings.rules;
        let of_words = rules.of_words(&Words { hint: word, tags: words.tags });
        let mut audience = self.audience.take().unwrap_or_default();
        let of_session = self.of_session(&mut audience);
        let path = || self.search_path(&mut audience.path);
        let found = rules.find(facts, catalog, of_session, of_words, path);
        self.audience = Some(audience);
        Ask { hint, found, prepares: false, refused, level, position }
    }

    /// What the session is to the rules; asked again when the rules have changed, or a setting that they ask for.
    fn of_session(&self, known: &mut Audience) -> Mask {
        let (rules, current) = (&self.settings.rules, self.state.settings.current());
        let same = |then: &Arc<Settings>| !rules.asks_for_application() || Arc::ptr_eq(then, current);
        if known.generation != rules.generation() || !known.settings.as_ref().is_some_and(same) {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let (user, database) = (text(&self.users.key.user), text(&self.users.key.database));
            let application_name = current.get(b"application_name").map(text).unwrap_or_default();
            let client = address(self.handle.peer);
            let share = u32::try_from(self.handle.pid).ok().map(Share::Session);
            let speaker = Speaker {
                user: &user,
                database: &database,
                application_name: &application_name,
                client,
                share,
            };
            known.generation = rules.generation();
            known.settings = Some(Arc::clone(current));
            known.rules = rules.of_session(&speaker);
        }
        known.rules
    }

    /// The schemas in which names are looked for; made anew when a setting has changed.
    fn search_path(&self, known: &mut Option<KnownPath>) -> Arc<SearchPath> {
        let (settings, default) = (self.state.settings.current(), self.users.search_path());
        let address = |default: &Option<Arc<String>>| default.as_ref().map(Arc::as_ptr);
        if let Some(known) = known
            && Arc::ptr_eq(&known.settings, settings)
            && address(&known.default) == address(&default)
        {
            return Arc::clone(&known.path);
        }
        let role = settings.get(b"role").filter(|role| *role != b"none");
        let user = role.or_else(|| settings.get(b"session_authorization")).unwrap_or(&self.users.key.user);
        let path = SearchPath::new(self.search_path_setting().as_deref(), &String::from_utf8_lossy(user));
        let (settings, path) = (Arc::clone(settings), Arc::new(path));
        *known = Some(KnownPath { settings, default, path: Arc::clone(&path) });
        path
    }

    /// The session's own search_path, or else what its role, its database or the server has it set to, if that is known.
    pub(crate) fn search_path_setting(&self) -> Option<String> {
        let own = self.state.settings.current().get(b"search_path");
        let own = own.map(|own| String::from_utf8_lossy(own).into_owned());
        own.or_else(|| self.users.search_path().map(|path| (*path).clone()))
    }

    /// What the decision is told of it. Of the level a hint has the first word, then the session, then the rule.
    pub(crate) fn asked(&self, ask: Ask) -> Asked<'_> {
        let rule = ask.rule(&self.settings);
        let level = ask.level.or(self.state.settings.own.now().consistency);
        Asked {
            hint: ask.hint,
            rule,
            reads_on_primary: self.settings.reads_on_primary && !self.shared.is_spilled(),
            level: level.or_else(|| rule?.consistency),
            refused: ask.refused,
        }
    }
}

/// Where a client is.
pub(crate) fn address(peer: Peer) -> Option<IpAddr> {
    match peer {
        Peer::Tcp(address) => Some(address.ip()),
        Peer::Unix => None,
    }
}
