//! From text to facts, behind a cache.

use std::cell::RefCell;
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use quick_cache::sync::Cache;
use quick_cache::{Equivalent, Weighter};

use crate::analyse::{self, Part};
use crate::catalog::{Catalog, RelationKnown};
use crate::command::Command;
use crate::effects::Effects;
use crate::facts::{Facts, Marker, NotRead, Noted, ObjectName, Relations, Statement, Verdict};
use crate::judge::{Reads, judge, may_write};
use crate::scan::{Around, Form};
use crate::tables::Tables;
use crate::{recent, scan, traces};

/// Finds the facts of texts and remembers them. Shared by all threads.
pub struct Analyzer {
    /// Tells it from others in what threads keep for themselves.
    id: u64,
    cache: Cache<Key, Entry, ByteWeight, BuildHasherDefault<Ready>>,
    marker: ArcSwap<Option<Arc<dyn Marker>>>,
    /// The marker's generation, or 0.
    generation: AtomicU64,
}

/// Facts are kept under the canonical form of a text, the catalog they hold for and the rules that have marked them;
/// where literals matter, under the text itself.
struct Key {
    catalog: u64,
    rules: u64,
    hash: u64,
    whole: bool,
    text: Box<[u8]>,
}

#[derive(Clone, Copy)]
struct KeyRef<'t> {
    catalog: u64,
    rules: u64,
    hash: u64,
    whole: bool,
    text: &'t [u8],
}

#[derive(Clone)]
enum Entry {
    Facts(Arc<Facts>),
    /// Literals matter: look under the whole text.
    Whole,
    /// A single SET or the like: quicker to read again than to keep one entry for every value.
    Again,
}

/// The longest text that is remembered, in bytes.
const CACHED_BYTES: usize = 32 * 1024;

thread_local! {
    static CANONICAL: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl Analyzer {
    /// An analyzer whose cache holds about `cache_bytes` bytes.
    pub fn new(cache_bytes: usize) -> Analyzer {
        let entries = (cache_bytes / 1024).max(16);
        let cache = Cache::with(
            entries,
            cache_bytes as u64,
            ByteWeight,
            BuildHasherDefault::default(),
            Default::default(),
        );
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Analyzer {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            cache,
            marker: ArcSwap::from_pointee(None),
            generation: AtomicU64::new(0),
        }
    }

    /// From now on facts are marked by this.
    pub fn set_marker(&self, marker: Arc<dyn Marker>) {
        let generation = marker.generation();
        self.marker.store(Arc::new(Some(marker)));
        self.generation.store(generation, Ordering::Release);
    }

    /// The generation of the marker in force, 0 without one.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// How many entries are remembered.
    pub fn len(&self) -> usize {
        self.cache.len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The facts of a text in the light of a catalog.
    pub fn facts(&self, text: &[u8], catalog: &Arc<Catalog>) -> Arc<Facts> {
        self.read(text, catalog).0
    }

    /// The facts of a text in the light of a catalog, and what is around it.
    pub fn read<'t>(&self, whole: &'t [u8], catalog: &Arc<Catalog>) -> (Arc<Facts>, Around<'t>) {
        if whole.len() > CACHED_BYTES {
            let around = scan::around(whole);
            let marker = self.marker.load();
            return (Arc::new(facts(around.text, analyse::parts(around.text), catalog, &marker)), around);
        }
        let cut = Around::cut(whole);
        if let Some(facts) = recent::get((self.id, catalog.key(), self.generation()), cut.text) {
            return (facts, cut);
        }
        CANONICAL.with_borrow_mut(|canonical| {
            let (form, plain) = scan::normalise_part(cut.text, canonical);
            if plain || cut.behind.is_empty() {
                return (self.found(cut.text, form, plain, canonical, catalog), cut);
            }
            // What seemed to be a comment behind the text is the end of something else.
            let around = cut.without_behind(whole);
            let (form, plain) = scan::normalise_part(around.text, canonical);
            (self.found(around.text, form, plain, canonical, catalog), around)
        })
    }

    /// The facts of a text whose canonical form is known.
    fn found(&self, text: &[u8], form: Form, plain: bool, canonical: &[u8], catalog: &Catalog) -> Arc<Facts> {
        let marker = self.marker.load();
        let under = (self.id, catalog.key(), generation(&marker));
        match form {
            Form::Exact => {
                let (facts, _) = self.remembered(text, canonical, catalog, &marker);
                if plain {
                    recent::put(under, text, &facts);
                }
                facts
            }
            Form::Folded => recent::get(under, canonical).unwrap_or_else(|| {
                let (facts, of_all) = self.remembered(text, canonical, catalog, &marker);
                if of_all {
                    recent::put(under, canonical, &facts);
                }
                facts
            }),
            Form::Broken => Arc::new(facts(text, None, catalog, &marker)),
        }
    }

    /// The facts of a text, and whether they are those of all texts of its canonical form.
    fn remembered(
        &self,
        text: &[u8],
        canonical: &[u8],
        catalog: &Catalog,
        marker: &Marking,
    ) -> (Arc<Facts>, bool) {
        let key = KeyRef {
            catalog: catalog.key(),
            rules: generation(marker),
            hash: scan::fingerprint(canonical),
            whole: false,
            text: canonical,
        };
        let entry = match self.cache.get(&key) {
            Some(Entry::Facts(facts)) => return (facts, true),
            known => known,
        };
        let whole = KeyRef { hash: scan::fingerprint(text), whole: true, text, ..key };
        if let (Some(Entry::Whole), Some(Entry::Facts(facts))) = (&entry, self.cache.get(&whole)) {
            return (facts, false);
        }
        let parts = analyse::parts(text);
        let kind = parts.as_deref().map_or(Literals::Ignored, literals);
        let facts = Arc::new(facts(text, parts, catalog, marker));
        match (kind, entry) {
            (Literals::Ignored, _) => self.cache.insert(key.owned(), Entry::Facts(facts.clone())),
            (Literals::Only, None) => self.cache.insert(key.owned(), Entry::Again),
            (Literals::Only, Some(_)) => (),
            (Literals::Matter, _) => {
                self.cache.insert(key.owned(), Entry::Whole);
                self.cache.insert(whole.owned(), Entry::Facts(facts.clone()));
            }
        }
        (facts, kind == Literals::Ignored)
    }
}

type Marking = Option<Arc<dyn Marker>>;

fn generation(marker: &Marking) -> u64 {
    marker.as_ref().map_or(0, |marker| marker.generation())
}

impl std::fmt::Debug for Analyzer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Analyzer")
            .field("entries", &self.cache.len())
            .field("bytes", &self.cache.weight())
            .finish()
    }
}

/// What the literals of a text are to its facts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Literals {
    Ignored,
    Matter,
    /// They matter, and the text is one command that the scanner reads by itself.
    Only,
}

fn literals(parts: &[Part]) -> Literals {
    match parts {
        [Part { command: Command::Set { .. }, .. }] => Literals::Only,
        parts if analyse::literals_matter(parts) => Literals::Matter,
        _ => Literals::Ignored,
    }
}

/// The facts of a text, given its statements if it was understood.
fn facts(text: &[u8], parts: Option<Vec<Part>>, catalog: &Catalog, marker: &Marking) -> Facts {
    let mut facts = unmarked(text, parts, catalog);
    if let Some(marker) = marker {
        facts.noted = Noted { generation: marker.generation(), ..marker.mark(&facts, catalog) };
    }
    facts
}

fn unmarked(text: &[u8], parts: Option<Vec<Part>>, catalog: &Catalog) -> Facts {
    let mut canonical = Vec::new();
    let whole = text.len() <= CACHED_BYTES && scan::normalise(text, &mut canonical) != Form::Broken;
    let fingerprint = scan::fingerprint(if whole { &canonical } else { text });
    let canonical: Arc<[u8]> = if whole { canonical.into() } else { Arc::default() };
    let Some(parts) = parts else { return not_understood(text, fingerprint, canonical, catalog) };
    let judged: Vec<Result<Reads, NotRead>> = parts.iter().map(|part| judge(part, catalog)).collect();
    let mut statements: Vec<Statement> = Vec::with_capacity(parts.len().max(1));
    let (mut effects, mut written, mut functions) = (Effects::NONE, Written::default(), Vec::new());
    let mut mentioned = Vec::new();
    let mut shown = 0;
    for (part, judged) in parts.into_iter().zip(&judged) {
        let statement_effects = traces::effects(&part, catalog, judged.is_ok());
        effects |= statement_effects;
        written.add(&part, statement_effects, catalog);
        shown |= if judged.is_ok() { 0 } else { shown_by(&part, statement_effects, catalog) };
        functions.extend(part.outline.calls);
        mentioned.extend(part.outline.mentioned);
        let settings = part.settings.unwrap_or_default().into_boxed_slice();
        statements.push(Statement { command: part.command, effects: statement_effects, settings });
    }
    if statements.is_empty() {
        statements.push(Statement {
            command: Command::Empty,
            effects: Effects::NONE,
            settings: Box::default(),
        });
    }
    let (verdict, reads) = verdict(judged);
    let (writes, mentioned) = match verdict {
        Verdict::Read if reads.any => (Relations::default(), mentioned),
        Verdict::Read => Default::default(),
        _ => (relations(written.any, written.names), mentioned),
    };
    let (read, written) = (Tables::of(&reads), Tables::of(&writes));
    Facts {
        shown: shown | written.mask | if verdict == Verdict::Read { read.mask } else { 0 },
        read,
        written,
        statements: statements.into(),
        verdict,
        reads,
        writes,
        functions: sorted(functions),
        mentioned: sorted(mentioned),
        fingerprint,
        effects,
        canonical,
        noted: Noted::default(),
    }
}

fn not_understood(text: &[u8], fingerprint: u64, canonical: Arc<[u8]>, catalog: &Catalog) -> Facts {
    let first = scan::Lexer::new(text).next().filter(|token| token.kind == scan::Kind::Word);
    let keyword = first.and_then(|token| std::str::from_utf8(token.bytes(text)).ok()).unwrap_or_default();
    let keyword = keyword.get(..keyword.len().min(32)).unwrap_or_default().to_ascii_lowercase();
    // It may be a DO block.
    let executes = text.windows(7).any(|word| word.eq_ignore_ascii_case(b"execute"));
    let mut effects = traces::UNKNOWN;
    if executes || catalog.has_code_that_sets_anything() {
        effects |= Effects::SETS_ANYTHING;
    }
    let command = Command::Unknown(keyword.into());
    Facts {
        statements: Box::new([Statement { command, effects, settings: Box::default() }]),
        verdict: Verdict::NotRead(NotRead::Unparsed),
        reads: Relations::any(),
        writes: Relations::any(),
        functions: Box::default(),
        mentioned: Box::default(),
        fingerprint,
        effects,
        canonical,
        noted: Noted::default(),
        read: Tables::any(),
        written: Tables::any(),
        shown: u64::MAX,
    }
}

/// The verdict over all statements, and what they read.
fn verdict(judged: Vec<Result<Reads, NotRead>>) -> (Verdict, Relations) {
    let proved = judged.iter().filter(|one| one.is_ok()).count();
    let (mut any, mut names, mut first) = (false, Vec::new(), None);
    for one in judged {
        match one {
            Ok(reads) => {
                any |= reads.any;
                names.extend(reads.names);
            }
            Err(why) => {
                first.get_or_insert(why);
            }
        }
    }
    match first {
        None => (Verdict::Read, relations(any, names)),
        Some(_) if proved > 0 => (Verdict::NotRead(NotRead::Mixed), relations(true, names)),
        Some(why) => (Verdict::NotRead(why), relations(true, names)),
    }
}

/// Bits of the tables that a statement which is no proved read may show something of. Names that are no tables' show
/// nothing; code whose doings the text does not show may show all.
fn shown_by(part: &Part, effects: Effects, catalog: &Catalog) -> u64 {
    let hidden = Effects::CODE | Effects::OPAQUE | Effects::DDL | Effects::MAYBE_DDL;
    if effects.intersects(hidden) || !catalog.is_known() {
        return u64::MAX;
    }
    let words = part.outline.words.iter().map(|word| &**word);
    let tables: Vec<&str> =
        words.filter(|word| catalog.relation(None, word) != RelationKnown::Unknown).collect();
    let further = |table: &&str| catalog.reading_reaches_further(None, table);
    if tables.iter().any(further) || catalog.mentions_readers(&part.outline) {
        return u64::MAX;
    }
    let names = tables.into_iter().flat_map(|table| {
        let with = catalog.read_with(None, table).map(|object| &*object.name);
        std::iter::once(table).chain(with)
    });
    Tables::named(names).mask
}

/// What a text writes, as far as a read on a replica could see it.
#[derive(Default)]
struct Written {
    any: bool,
    names: Vec<ObjectName>,
}

impl Written {
    fn add(&mut self, part: &Part, effects: Effects, catalog: &Catalog) {
        let hidden = Effects::CODE | Effects::OPAQUE | Effects::DDL | Effects::MAYBE_DDL;
        let changes_rows = matches!(
            part.command,
            Command::Insert
                | Command::Update
                | Command::Delete
                | Command::Merge
                | Command::Truncate
                | Command::Copy(_)
        );
        // What the targets' triggers and defaults write is known from the catalog, below.
        self.any |= match changes_rows {
            true => {
                part.outline.strange
                    || traces::runs_hidden_code(&part.outline, catalog)
                    || part.outline.keyword_calls.iter().any(|name| catalog.may_write(name))
            }
            // What VACUUM, ANALYZE, CLUSTER and REINDEX find and change is in the catalogs.
            false => {
                effects.intersects(hidden)
                    || matches!(part.command, Command::CommitPrepared | Command::Utility(_))
            }
        };
        // It follows every foreign key, with or without an action.
        self.any |= part.command == Command::Truncate && part.outline.has("cascade");
        self.any |= traces::runs_expressions(&part.command)
            && part.outline.calls.iter().any(|call| may_write(call, catalog));
        for target in part.outline.targets.iter().chain(&part.copied) {
            self.any |= catalog.writing_reaches_further(target.schema.as_deref(), &target.name);
            self.names.push(target.clone());
            self.names.extend(catalog.written_with(target.schema.as_deref(), &target.name).cloned());
        }
    }
}

fn relations(any: bool, names: Vec<ObjectName>) -> Relations {
    Relations { any, names: sorted(names) }
}

fn sorted(mut names: Vec<ObjectName>) -> Box<[ObjectName]> {
    names.sort_unstable();
    names.dedup();
    names.into()
}

impl KeyRef<'_> {
    fn owned(self) -> Key {
        Key {
            catalog: self.catalog,
            rules: self.rules,
            hash: self.hash,
            whole: self.whole,
            text: self.text.into(),
        }
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Hash for KeyRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        (self.catalog, self.rules, self.hash, self.whole, &self.text)
            == (other.catalog, other.rules, other.hash, other.whole, &other.text)
    }
}

impl Eq for Key {}

impl Equivalent<Key> for KeyRef<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        (self.catalog, self.rules, self.hash, self.whole, self.text)
            == (key.catalog, key.rules, key.hash, key.whole, &*key.text)
    }
}

/// A hasher for hashes that are good already.
#[derive(Default)]
struct Ready(u64);

impl Hasher for Ready {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = foldhash::quality::FixedState::with_seed(self.0).hash_one(bytes);
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// Weighs entries in bytes, roughly.
#[derive(Clone)]
struct ByteWeight;

impl Weighter<Key, Entry> for ByteWeight {
    fn weight(&self, key: &Key, entry: &Entry) -> u64 {
        let facts = match entry {
            Entry::Facts(facts) => facts.bytes(),
            Entry::Whole | Entry::Again => 0,
        };
        (size_of::<Key>() + size_of::<Entry>() + key.text.len() + facts) as u64
    }
}
