//! A node's connections over all pools: at most so many, and when they are used up, idle connections of other pools
//! make room.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, Weak};

use crate::pool::Pool;

/// One node's limit.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    open: AtomicUsize,
    starved_count: AtomicUsize,
    pools: Mutex<Lists>,
}

#[derive(Debug, Default)]
struct Lists {
    /// All pools of this node.
    all: Vec<Weak<Pool>>,
    /// Pools that have clients waiting and found no room, first come first served.
    starved: VecDeque<Weak<Pool>>,
}

impl Budget {
    pub(crate) fn add(&self, pool: Weak<Pool>) {
        let mut lists = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        lists.all.retain(|known| known.strong_count() > 0);
        lists.all.push(pool);
    }

    /// Connections open or being opened.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Takes a place if there is one, else makes room by closing another pool's idle connection. Call it without
    /// holding a pool's lock.
    pub(crate) fn acquire(&self, most: usize) -> bool {
        self.take_place(most) || (self.evict() && self.take_place(most))
    }

    fn take_place(&self, most: usize) -> bool {
        let step = |open: usize| (open < most).then_some(open + 1);
        self.open.fetch_update(Ordering::AcqRel, Ordering::Acquire, step).is_ok()
    }

    /// Gives a place back and lets the pools that wait for one grow. They are asked in turn, until one finds no room (it
    /// gets in line again): the clients of the first may have given up.
    pub(crate) fn release(&self) {
        self.open.fetch_sub(1, Ordering::AcqRel);
        for _ in 0..self.starved_count.load(Ordering::Acquire) {
            let Some(pool) = self.next_starved() else { return };
            if !pool.grow() {
                return;
            }
        }
    }

    /// Notes that a pool waits for a place.
    pub(crate) fn starve(&self, pool: Weak<Pool>) {
        let mut lists = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if !lists.starved.iter().any(|known| known.ptr_eq(&pool)) {
            lists.starved.push_back(pool);
            self.starved_count.store(lists.starved.len(), Ordering::Release);
        }
    }

    /// Whether a pool waits for a place, so that an idle connection should rather be closed than kept.
    pub(crate) fn is_short(&self) -> bool {
        self.starved_count.load(Ordering::Acquire) > 0
    }

    fn next_starved(&self) -> Option<std::sync::Arc<Pool>> {
        if !self.is_short() {
            return None;
        }
        let mut lists = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        let next = std::iter::from_fn(|| lists.starved.pop_front()).find_map(|weak| weak.upgrade());
        self.starved_count.store(lists.starved.len(), Ordering::Release);
        next
    }

    /// Closes the connection that has been idle the longest. True when one was closed.
    fn evict(&self) -> bool {
        let pools: Vec<_> = {
            let lists = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
            lists.all.iter().filter_map(Weak::upgrade).collect()
        };
        let oldest =
            pools.iter().filter_map(|pool| Some((pool.idle_since()?, pool))).min_by_key(|(since, _)| *since);
        oldest.is_some_and(|(_, pool)| pool.close_oldest())
    }
}
