//! A client's prepared statements and portals.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use foldhash::fast::RandomState;
use pgsplit_pool::Statement;
use pgsplit_sql::facts::{Argument, SettingCall};
use pgsplit_sql::{Catalog, Facts};
use pgsplit_wire::frontend::Bind;

use crate::ask::Said;

/// What a client's names stand for. A client that gives no names, as most do, has no table.
#[derive(Debug, Clone)]
pub(crate) struct Names<T>(Option<Box<Table<T>>>);

#[derive(Debug, Clone)]
struct Table<T> {
    by_name: HashMap<Box<[u8]>, T, RandomState>,
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Names<T> {
    pub(crate) fn get(&self, name: &[u8]) -> Option<&T> {
        self.0.as_ref()?.by_name.get(name)
    }

    pub(crate) fn contains_key(&self, name: &[u8]) -> bool {
        self.get(name).is_some()
    }

    pub(crate) fn insert(&mut self, name: Box<[u8]>, value: T) -> Option<T> {
        let table = self.0.get_or_insert_with(|| Box::new(Table { by_name: HashMap::default() }));
        table.by_name.insert(name, value)
    }

    pub(crate) fn remove(&mut self, name: &[u8]) -> Option<T> {
        self.0.as_mut()?.by_name.remove(name)
    }

    pub(crate) fn clear(&mut self) {
        self.0 = None;
    }
}

/// A client's portals. The unnamed one, which most clients use alone, has a place of its own.
#[derive(Debug, Default)]
pub(crate) struct Portals {
    unnamed: Option<Arc<Portal>>,
    named: Names<Arc<Portal>>,
}

impl Portals {
    /// The portal of a name; the empty name is the unnamed one.
    pub(crate) fn get(&self, name: &[u8]) -> Option<&Arc<Portal>> {
        if name.is_empty() { self.unnamed.as_ref() } else { self.named.get(name) }
    }

    /// Gives a name a portal, or takes it away; returns what it stood for before.
    pub(crate) fn set(&mut self, name: &[u8], portal: Option<Arc<Portal>>) -> Option<Arc<Portal>> {
        if name.is_empty() {
            return std::mem::replace(&mut self.unnamed, portal);
        }
        match portal {
            Some(portal) => self.named.insert(name.into(), portal),
            None => self.named.remove(name),
        }
    }

    /// The transaction has ended, and all portals with it.
    pub(crate) fn clear(&mut self) {
        self.unnamed = None;
        self.named.clear();
    }
}

/// What a client has prepared under a name, or as its unnamed statement.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// What servers know it as.
    pub statement: Arc<Statement>,
    /// Facts of its text, as of this catalog version.
    pub facts: Arc<Facts>,
    pub catalog: u64,
    /// What stood around its text.
    pub said: Said,
    /// It has a name: it may be prepared anew on any connection.
    pub shared: bool,
    /// What the client was told that it returns, as [`crate::stale::shape`]; 0: nothing yet.
    pub described: AtomicU64,
}

impl Prepared {
    /// Facts in the light of the present catalog.
    pub(crate) fn facts(&self, analyzer: &pgsplit_sql::Analyzer, catalog: &Arc<Catalog>) -> Arc<Facts> {
        if catalog.version() == self.catalog && self.facts.noted.generation == analyzer.generation() {
            return self.facts.clone();
        }
        analyzer.facts(&self.statement.key.text, catalog)
    }
}

/// What a Bind has bound.
#[derive(Debug)]
pub(crate) struct Portal {
    pub prepared: Arc<Prepared>,
    /// The calls of `set_config` that its Execute will make, when all of their arguments are known.
    pub calls: Box<[BoundCall]>,
    /// A call's arguments are not all known.
    pub opaque: bool,
}

/// A call of `set_config` with its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BoundCall {
    pub name: Vec<u8>,
    /// `None` is NULL, which resets.
    pub value: Option<Vec<u8>>,
    pub local: bool,
}

impl Portal {
    pub(crate) fn new(prepared: Arc<Prepared>, bind: &Bind<'_>) -> Self {
        let calls = prepared.facts.statements.iter().flat_map(|statement| &statement.settings);
        match calls.map(|call| BoundCall::new(call, Some(bind))).collect::<Option<Box<[_]>>>() {
            Some(calls) => Self { prepared, calls, opaque: false },
            None => Self { prepared, calls: Box::default(), opaque: true },
        }
    }
}

impl BoundCall {
    /// `None` when an argument is not known.
    pub(crate) fn new(call: &SettingCall, bind: Option<&Bind<'_>>) -> Option<Self> {
        let value = |argument: &Argument| match argument {
            Argument::Const(text) => Some(Some(text.as_bytes().to_vec())),
            Argument::Null => Some(None),
            Argument::Param(n) => {
                let value = bind?.text_parameter(usize::from(*n).checked_sub(1)?)?;
                Some(value.map(<[u8]>::to_vec))
            }
        };
        let local = value(&call.local)??;
        let local = match local.to_ascii_lowercase().as_slice() {
            b"t" | b"true" | b"on" | b"yes" | b"y" | b"1" => true,
            b"f" | b"false" | b"off" | b"no" | b"n" | b"0" => false,
            _ => return None,
        };
        Some(Self { name: value(&call.name)??.to_ascii_lowercase(), value: value(&call.value)?, local })
    }
}
