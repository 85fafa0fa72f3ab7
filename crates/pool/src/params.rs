//! What a server has reported through ParameterStatus, as a value.

use std::sync::Arc;

use bytes::BytesMut;
use pgsplit_wire::build;

/// Name and value.
type Entry = (Box<[u8]>, Box<[u8]>);

/// Reported parameters, in the order of their first report. Shared: sessions that were told the same hold the same value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Params {
    entries: Vec<Entry>,
}

/// A session stays on the primary for writes, so it is never told that it is on a standby.
const HIDDEN: &[u8] = b"in_hot_standby";

impl Params {
    /// The value of a parameter.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.entries.iter().find(|(n, _)| **n == *name).map(|(_, v)| &**v)
    }

    /// Takes a report.
    pub fn set(&mut self, name: &[u8], value: &[u8]) {
        let value = if name == HIDDEN { b"off" } else { value };
        match self.entries.iter_mut().find(|(n, _)| **n == *name) {
            Some(entry) => entry.1 = value.into(),
            None => self.entries.push((name.into(), value.into())),
        }
    }

    /// Whether a report would change anything.
    #[must_use]
    pub fn says(&self, name: &[u8], value: &[u8]) -> bool {
        self.get(name) == Some(if name == HIDDEN { b"off" } else { value })
    }

    /// Appends a ParameterStatus for each parameter.
    pub fn encode(&self, out: &mut BytesMut) {
        self.entries.iter().for_each(|(name, value)| build::parameter(out, name, value));
    }

    /// Makes two equal values one, so that they are found equal at a glance from now on: the one that lies lower in
    /// memory, so that all that are equal end at the same. False when they differ.
    pub fn unite(a: &mut Arc<Self>, b: &mut Arc<Self>) -> bool {
        if !Arc::ptr_eq(a, b) {
            // The order of the reports makes no difference.
            let equal = a.entries.len() == b.entries.len()
                && a.entries.iter().all(|(name, value)| b.get(name) == Some(value));
            match equal {
                true if Arc::as_ptr(a) < Arc::as_ptr(b) => b.clone_from(a),
                true => a.clone_from(b),
                false => return false,
            }
        }
        true
    }

    /// Appends a ParameterStatus for each parameter that differs from what was told before.
    pub fn encode_changes(self: &Arc<Self>, told: &Arc<Self>, out: &mut BytesMut) {
        if Arc::ptr_eq(self, told) {
            return;
        }
        for (name, value) in self.entries.iter().filter(|(n, v)| told.get(n) != Some(v)) {
            build::parameter(out, name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_only_what_changed_and_hides_the_standby() {
        let mut a = Params::default();
        a.set(b"TimeZone", b"UTC");
        a.set(b"in_hot_standby", b"on");
        assert_eq!(a.get(b"in_hot_standby"), Some(&b"off"[..]));
        assert!(a.says(b"in_hot_standby", b"on"));
        let mut b = a.clone();
        b.set(b"TimeZone", b"PST");
        let (mut one, mut same, mut other) = (Arc::new(a.clone()), Arc::new(a.clone()), Arc::new(b.clone()));
        assert!(Params::unite(&mut one, &mut same) && Arc::ptr_eq(&one, &same));
        assert!(!Params::unite(&mut one, &mut other) && !Arc::ptr_eq(&one, &other));
        let mut out = BytesMut::new();
        Arc::new(b).encode_changes(&Arc::new(a), &mut out);
        assert_eq!(&out[..], b"S\0\0\0\x11TimeZone\0PST\0");
    }
}
