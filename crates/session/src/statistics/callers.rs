//! Who calls a statement, and with which words around it: what rules ask for besides the text.
//!
//! Of a statement's calls the first few on each sheet are looked at, and of the others one in so many, with that weight.
//! A few callers are told apart; what comes behind counts as one of them, whichever it is.

use std::net::IpAddr;

use pgsplit_sql::scan::fingerprint;
use pgsplit_sql::tags::Tags;

/// Callers of one statement that are told apart.
const MOST: usize = 8;
/// Calls on a sheet that are all looked at.
const FIRST: u32 = 8;
/// Of those behind, one in so many.
const SAMPLE: u32 = 16;
/// Tags that are another for each call, and that nobody makes a rule of.
const VOLATILE: [&[u8]; 3] = [b"traceparent", b"tracestate", b"request_id"];

/// A caller.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Caller {
    /// The session's user.
    pub user: Box<str>,
    /// The session's application_name.
    pub application_name: Box<str>,
    /// The client's address.
    pub client: Option<IpAddr>,
    /// The session's search_path, where it is known not to be PostgreSQL's default.
    pub search_path: Option<Box<str>>,
    /// The word of the hint that holds.
    pub hint: Option<Box<str>>,
    /// The tags, as in a comment; without those that are another for each call.
    pub tags: Box<[u8]>,
}

impl Caller {
    /// The tags of a comment, without those that are another for each call.
    pub(crate) fn lasting(tags: Tags<'_>) -> Box<[u8]> {
        let lasting = tags.iter().filter(|tag| !VOLATILE.contains(&tag.name));
        let pairs: Vec<_> = lasting.map(|tag| [tag.name, b"='", tag.value, b"'"].concat()).collect();
        pairs.join(&b","[..]).into()
    }

    fn bytes(&self) -> usize {
        let texts = [&self.user, &self.application_name].map(|text| text.len());
        let maybe = [&self.search_path, &self.hint].map(|text| text.as_ref().map_or(0, |text| text.len()));
        size_of::<Self>() + texts.into_iter().chain(maybe).sum::<usize>() + self.tags.len()
    }
}

/// The callers of one statement, each with its calls.
#[derive(Debug, Clone, Default)]
pub struct Callers {
    each: Vec<(Caller, u64)>,
    /// Calls of those that found no place.
    others: u64,
}

impl Callers {
    /// The callers, and of the calls the share of each.
    pub fn shares(&self) -> impl Iterator<Item = (&Caller, f64)> {
        let all: u64 = self.each.iter().map(|(_, calls)| calls).sum();
        self.each.iter().map(move |(caller, calls)| (caller, *calls as f64 / all.max(1) as f64))
    }

    /// Bytes on the heap.
    pub(crate) fn bytes(&self) -> usize {
        self.each.iter().map(|(caller, _)| caller.bytes() + size_of::<u64>()).sum()
    }

    /// Counts calls of one.
    pub(crate) fn add(&mut self, caller: Caller, calls: u64) {
        if let Some((_, count)) = self.each.iter_mut().find(|(known, _)| *known == caller) {
            *count += calls;
        } else if self.each.len() < MOST {
            self.each.push((caller, calls));
        } else {
            self.others += calls;
        }
    }

    /// Adds others.
    pub(crate) fn merge(&mut self, others: &Self) {
        others.each.iter().for_each(|(caller, calls)| self.add(caller.clone(), *calls));
        self.others += others.others;
    }
}

/// For how many calls the next one stands, after so many; 0: it is not looked at. `random` is any number.
pub(crate) fn weight(calls: u32, random: u32) -> u64 {
    match calls {
        ..FIRST => 1,
        _ if random.is_multiple_of(SAMPLE) => u64::from(SAMPLE),
        _ => 0,
    }
}

/// A number that is the same for tags that name the same route, as they are written: `method` and `route`.
pub(crate) fn route_key(tags: Tags<'_>) -> Option<u64> {
    let (method, route) = route_tags(tags);
    Some(fingerprint(route?) ^ method.map_or(0, |method| fingerprint(method).rotate_left(1)))
}

/// The values of the tags `method` and `route`, as they are written.
pub(crate) fn route_tags<'t>(tags: Tags<'t>) -> (Option<&'t [u8]>, Option<&'t [u8]>) {
    let (mut method, mut route) = (None, None);
    for tag in tags.iter() {
        match tag.name {
            b"method" => method = Some(tag.value),
            b"route" => route = Some(tag.value),
            _ => {}
        }
    }
    (method, route)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(tags: &str) -> Caller {
        let tags = Tags::parse(tags.as_bytes()).unwrap();
        Caller { user: "ann".into(), tags: Caller::lasting(tags), ..Caller::default() }
    }

    #[test]
    fn callers_are_told_apart_by_what_lasts() {
        let mut callers = Callers::default();
        for n in 0..30 {
            callers.add(caller(&format!("route='%2Fa',traceparent='00-{n}'")), 1);
            callers.add(caller(&format!("traceparent='00-{n}',route='%2Fb'")), 3);
        }
        let told: Vec<_> = callers.shares().map(|(caller, share)| (&*caller.tags, share)).collect();
        assert_eq!(told, [(&b"route='%2Fa'"[..], 0.25), (b"route='%2Fb'", 0.75)]);
        (0..100).for_each(|n| callers.add(caller(&format!("page='{n}'")), 1));
        assert_eq!((callers.each.len(), callers.others), (MOST, 94));
        let sum: f64 = callers.shares().map(|(_, share)| share).sum();
        assert!((sum - 1.0).abs() < 1e-9);
        assert!(callers.bytes() < 4096);
    }

    #[test]
    fn the_first_calls_are_all_looked_at_and_the_weights_come_to_all() {
        assert!((0..FIRST).all(|calls| weight(calls, 7) == 1));
        let looked: u64 = (0..SAMPLE * 10).map(|random| weight(1000, random)).sum();
        assert_eq!(looked, u64::from(SAMPLE * 10));
    }

    #[test]
    fn one_route_has_one_key() {
        let key = |text: &str| route_key(Tags::parse(text.as_bytes()).unwrap());
        assert_eq!(key("a='1'"), None);
        assert_eq!(key("method='GET',route='%2Fa',x='1'"), key("x='2',method='GET',route='%2Fa'"));
        assert_ne!(key("method='GET',route='%2Fa'"), key("method='PUT',route='%2Fa'"));
        assert_ne!(key("route='%2Fa'"), key("method='GET',route='%2Fa'"));
    }
}
