//! Marks: when each table was last written through this proxy, in a time that the sampler counts.
//!
//! One counter, the epoch. The sampler adds one and *then* asks the primary how far it is. Whoever has seen a write
//! acknowledged marks its tables with the present epoch, before the client hears of it. So the first sample with an epoch
//! above the mark was begun after the write, and its position covers it. No clock is read, and a write costs no round
//! trip.
//!
//! Tables are places in a fixed table, found by a hash of database and name: no lock and no allocation on a statement's
//! path. Names that share a place only make reads wait for more than they must.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use pgsplit_sql::Tables;

/// Places for tables; a power of two.
const PLACES: usize = 4096;

/// How a commit became durable before it was acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Its WAL was flushed: the position up to which the primary has flushed covers it.
    Flushed,
    /// `synchronous_commit = off`: only the position up to which WAL was inserted covers it.
    Inserted,
}

/// The samples that a replica must have reached: each number is the least epoch, 0 asks for nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Need {
    /// By the primary's flushed position.
    pub flushed: u64,
    /// By its inserted position.
    pub inserted: u64,
}

impl Need {
    /// Nothing.
    pub const NONE: Self = Self { flushed: 0, inserted: 0 };

    /// Both needs.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { flushed: self.flushed.max(other.flushed), inserted: self.inserted.max(other.inserted) }
    }

    /// The newest epoch in it.
    #[must_use]
    pub fn newest(self) -> u64 {
        self.flushed.max(self.inserted)
    }

    /// Whether it asks for nothing.
    #[must_use]
    pub fn is_none(self) -> bool {
        self == Self::NONE
    }

    /// Whether this much was reached.
    #[must_use]
    pub fn is_met_by(self, reached: Self) -> bool {
        reached.flushed >= self.flushed && reached.inserted >= self.inserted
    }
}

/// The marks of all tables. Shared by all threads.
#[derive(Debug)]
pub struct Marks {
    epoch: AtomicU64,
    flushed: Places,
    inserted: Places,
    /// Something was committed asynchronously.
    asynchronous: AtomicBool,
}

impl Default for Marks {
    /// Everything may have been written before this process began, so every read needs a first sample.
    fn default() -> Self {
        Self {
            epoch: AtomicU64::new(0),
            flushed: Places::new(),
            inserted: Places::new(),
            asynchronous: AtomicBool::new(false),
        }
    }
}

impl Marks {
    /// Begins a sample: its epoch. The question is sent afterwards.
    pub fn begin_sample(&self) -> u64 {
        self.epoch.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// The present epoch.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    /// Marks what was written, with the epoch of this moment; `database` tells tables of one name apart.
    pub fn mark(&self, database: u32, any: bool, keys: &[u32], durability: Durability) {
        let now = self.now();
        let places = match durability {
            Durability::Flushed => &self.flushed,
            Durability::Inserted => {
                raise_flag(&self.asynchronous);
                &self.inserted
            }
        };
        if any {
            raise(&places.all, now);
        } else {
            keys.iter().filter_map(|key| places.of(database, *key)).for_each(|place| raise(place, now));
        }
        raise(&places.newest, now);
    }

    /// Marks all tables: something was made known that may have been written by anybody.
    pub fn mark_all(&self) {
        self.mark(0, true, &[], Durability::Flushed);
        if self.is_asynchronous() {
            self.mark(0, true, &[], Durability::Inserted);
        }
    }

    /// What a read of these tables must see of what was acknowledged before this moment.
    #[must_use]
    pub fn need(&self, database: u32, reads: &Tables) -> Need {
        Need {
            flushed: self.flushed.newest_of(database, reads) + 1,
            inserted: match self.is_asynchronous() {
                true => self.inserted.newest_of(database, reads) + 1,
                false => 0,
            },
        }
    }

    /// What a read must see that is to see everything up to this moment, whoever wrote it.
    #[must_use]
    pub fn need_now(&self) -> Need {
        let next = self.now() + 1;
        Need { flushed: next, inserted: if self.is_asynchronous() { next } else { 0 } }
    }

    /// The same, where others than this process write: they may commit asynchronously without its knowing.
    #[must_use]
    pub fn need_of_all(&self) -> Need {
        let next = self.now() + 1;
        Need { flushed: next, inserted: next }
    }

    fn is_asynchronous(&self) -> bool {
        self.asynchronous.load(Ordering::Acquire)
    }
}

#[derive(Debug)]
struct Places {
    /// All tables were marked.
    all: AtomicU64,
    /// The newest mark of any.
    newest: AtomicU64,
    tables: Box<[AtomicU64]>,
}

impl Places {
    fn new() -> Self {
        let tables = (0..PLACES).map(|_| AtomicU64::new(0)).collect();
        Self { all: AtomicU64::new(0), newest: AtomicU64::new(0), tables }
    }

    fn of(&self, database: u32, key: u32) -> Option<&AtomicU64> {
        let place = usize::try_from(key ^ database).unwrap_or(0) % PLACES;
        self.tables.get(place)
    }

    fn newest_of(&self, database: u32, reads: &Tables) -> u64 {
        if reads.any {
            return self.newest.load(Ordering::Acquire);
        }
        let marks = reads.keys.iter().filter_map(|key| self.of(database, *key));
        let tables = marks.map(|mark| mark.load(Ordering::Acquire)).max().unwrap_or(0);
        tables.max(self.all.load(Ordering::Acquire))
    }
}

/// Marks only grow. A mark that is there already is not written again, so that its cache line stays shared.
fn raise(mark: &AtomicU64, epoch: u64) {
    if mark.load(Ordering::Acquire) < epoch {
        mark.fetch_max(epoch, Ordering::SeqCst);
    }
}

fn raise_flag(flag: &AtomicBool) {
    if !flag.load(Ordering::Acquire) {
        flag.store(true, Ordering::SeqCst);
    }
}
