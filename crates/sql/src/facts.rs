//! What a text reads, writes, calls and changes, and whether it is proved to be a read.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::catalog::Catalog;
use crate::command::{Command, Name};
use crate::effects::Effects;
use crate::tables::Tables;

/// Why a text is not proved to be a read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum NotRead {
    /// It writes rows, or may.
    Write,
    /// It changes the catalog.
    Ddl,
    /// A locking clause.
    Locking,
    /// A function (or operator, cast, type) that is not known to be harmless on a standby.
    Function(Arc<str>),
    /// A relation that a standby cannot read or answers differently.
    Relation(Arc<str>),
    /// It sets or uses session state or controls a transaction.
    Session,
    /// Several statements of which some are reads and some are not.
    Mixed,
    /// It could not be parsed.
    Unparsed,
}

/// Whether a text is proved to be a read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// A standby can run all of it and answers as the primary would.
    Read,
    /// It is not proved, and why.
    NotRead(NotRead),
}

/// Everything that is known of one text. Shared by all texts with the same cache key, so nothing in it depends on a
/// literal that the key folds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The statements in order. Empty ones between semicolons are left out, but an empty text has one.
    pub statements: Box<[Statement]>,
    /// Whether the whole text is proved to be a read.
    pub verdict: Verdict,
    /// What it reads.
    pub reads: Relations,
    /// What it writes.
    pub writes: Relations,
    /// The functions it names.
    pub functions: Box<[ObjectName]>,
    /// Where `reads` are not known in full: the relations that the text names, as far as its words show them.
    pub mentioned: Box<[ObjectName]>,
    /// A hash of the normalised text, the same in every process.
    pub fingerprint: u64,
    /// The union of the statements' effects.
    pub effects: Effects,
    /// The text without literals and comments; empty when it could not be read or is very long.
    pub canonical: Arc<[u8]>,
    /// What the rules in force say of it.
    pub noted: Noted,
    /// What it reads, in numbers.
    pub read: Tables,
    /// What it writes, in numbers.
    pub written: Tables,
    /// What its answer may show: bits as in [`Tables::mask`].
    pub shown: u64,
}

/// What a set of rules says of a text by its facts alone, worked out once for all texts that share them: a bit for each
/// of the first 256 rules. Nothing in this crate looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Noted {
    /// Of which set of rules; 0: of none.
    pub generation: u64,
    /// Rules whose conditions on the text hold.
    pub hold: [u64; 4],
    /// Those of them that hold only if a name without a schema means what the session's search_path must show.
    pub depend: [u64; 4],
}

/// Notes something with the facts of a text when they are first found.
pub trait Marker: fmt::Debug + Send + Sync {
    /// Tells it from others: not 0, and never used again for another.
    fn generation(&self) -> u64;
    /// What is noted. Its generation is set by the caller.
    fn mark(&self, facts: &Facts, catalog: &Catalog) -> Noted;
}

/// One statement of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// What it is.
    pub command: Command,
    /// What it may do to the session.
    pub effects: Effects,
    /// Its calls of `set_config`, in the order in which they run. Complete unless the effects say
    /// [`Effects::SETTING_OPAQUE`].
    pub settings: Box<[SettingCall]>,
}

/// One call of `set_config(name, value, is_local)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingCall {
    /// The setting's name.
    pub name: Argument,
    /// Its new value.
    pub value: Argument,
    /// Whether it ends with the transaction, in the text form of a boolean.
    pub local: Argument,
}

/// An argument that is known from the text or from Bind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Argument {
    /// A constant.
    Const(Box<str>),
    /// NULL.
    Null,
    /// The parameter `$n`, counted from 1.
    Param(u16),
}

/// A name with its schema, where one is given, folded as PostgreSQL folds it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectName {
    /// The schema.
    pub schema: Option<Name>,
    /// The name.
    pub name: Name,
}

/// A set of relations.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Relations {
    /// It may be any relation (catalog tables, functions with bodies of their own, unparsed text): `names` is not complete.
    pub any: bool,
    /// Those that are named, sorted, without duplicates.
    pub names: Box<[ObjectName]>,
}

impl Relations {
    /// A set that may hold any relation.
    pub fn any() -> Relations {
        Relations { any: true, names: Box::default() }
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        !self.any && self.names.is_empty()
    }
}

impl Facts {
    /// Whether the text is proved to be a read.
    pub fn is_read(&self) -> bool {
        self.verdict == Verdict::Read
    }

    /// The reason why it is not proved to be a read.
    pub fn not_read(&self) -> Option<&NotRead> {
        match &self.verdict {
            Verdict::Read => None,
            Verdict::NotRead(why) => Some(why),
        }
    }

    /// What its text has in common with those that differ in literals and comments alone; of texts that cannot be read,
    /// with all that begin with the same keyword.
    pub fn statement(&self) -> u64 {
        if self.canonical.is_empty() {
            crate::scan::fingerprint(self.text().as_bytes())
        } else {
            self.fingerprint
        }
    }

    /// Its text for people, without literals; of one that cannot be read the first keyword.
    pub fn text(&self) -> Cow<'_, str> {
        match (&*self.canonical, self.statements.first().map(|statement| &statement.command)) {
            ([], Some(Command::Unknown(keyword))) => format!("{keyword} ... (not parsed)").into(),
            ([], _) => "(a long text)".into(),
            (text, _) => String::from_utf8_lossy(text),
        }
    }

    /// The relations that it touches, as far as they are known, some of them more than once.
    pub fn touched(&self) -> impl Iterator<Item = &ObjectName> {
        self.reads.names.iter().chain(&self.writes.names).chain(&self.mentioned)
    }

    /// The command, when the text is one statement.
    pub fn single(&self) -> Option<&Statement> {
        match &*self.statements {
            [one] => Some(one),
            _ => None,
        }
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.schema {
            Some(schema) => write!(f, "{schema}.{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

impl fmt::Display for NotRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotRead::Write => f.write_str("write"),
            NotRead::Ddl => f.write_str("ddl"),
            NotRead::Locking => f.write_str("locking"),
            NotRead::Function(name) => write!(f, "function:{name}"),
            NotRead::Relation(name) => write!(f, "relation:{name}"),
            NotRead::Session => f.write_str("session"),
            NotRead::Mixed => f.write_str("mixed"),
            NotRead::Unparsed => f.write_str("unparsed"),
        }
    }
}

impl Facts {
    /// Their size in memory, in bytes, roughly.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let names = [&self.reads.names, &self.writes.names, &self.functions, &self.mentioned];
        let name = |object: &ObjectName| {
            size_of::<ObjectName>()
                + object.name.len()
                + object.schema.as_ref().map_or(0, |schema| schema.len())
        };
        let of_names: usize = names.into_iter().flatten().map(name).sum();
        let settings: usize =
            self.statements.iter().map(|s| s.settings.len() * size_of::<SettingCall>()).sum();
        let numbers = (self.read.keys.len() + self.written.keys.len()) * size_of::<u32>();
        size_of::<Facts>()
            + self.canonical.len()
            + self.statements.len() * size_of::<Statement>()
            + settings
            + of_names
            + numbers
    }
}

impl fmt::Display for Relations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        let mut separator = "";
        if self.any {
            f.write_str("any")?;
            separator = ", ";
        }
        for name in &self.names {
            write!(f, "{separator}{name}")?;
            separator = ", ";
        }
        Ok(())
    }
}

impl fmt::Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.verdict {
            Verdict::Read => writeln!(f, "verdict: read")?,
            Verdict::NotRead(why) => writeln!(f, "verdict: not proved a read: {why}")?,
        }
        for (n, statement) in self.statements.iter().enumerate() {
            writeln!(f, "statement {}: {:?}; effects: {}", n + 1, statement.command, statement.effects)?;
        }
        writeln!(f, "reads: {}", self.reads)?;
        writeln!(f, "writes: {}", self.writes)?;
        write!(f, "functions:")?;
        self.functions.iter().try_for_each(|name| write!(f, " {name}"))?;
        write!(f, "\nfingerprint: {:016x}", self.fingerprint)
    }
}
