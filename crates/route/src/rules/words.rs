//! Conditions on what is said around a text: tags and the hint. They are looked at for each statement, so the answer for
//! the same tags is kept by the thread, by their number if they have one; tags that no rule asks for, such as a trace id, make
//! no difference to it.

use std::cell::RefCell;

use pgsplit_sql::scan;
use pgsplit_sql::tags::{TRACE, Tags, decoded};

use super::mask::Mask;
use super::pattern::Pattern;
use super::web::RoutePattern;

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WordCondition {
    Route(Vec<RoutePattern>),
    Tag(Box<str>, Vec<Pattern>),
    Hint(Vec<Pattern>),
}

/// What is said around a text, or was when it was prepared.
#[derive(Debug, Clone, Copy, Default)]
pub struct Words<'t> {
    /// The word of its hint.
    pub hint: Option<&'t str>,
    /// Its tags.
    pub tags: Option<Tags<'t>>,
}

impl WordCondition {
    pub(crate) fn check(&self, words: &Words<'_>) -> bool {
        let tag = |name: &str| words.tags.as_ref().and_then(|tags| tags.get(name));
        match self {
            Self::Route(routes) => tag("route").is_some_and(|route| {
                let method = tag("method");
                routes.iter().any(|pattern| pattern.matches(&route, method.as_deref()))
            }),
            Self::Tag(name, values) => {
                tag(name).is_some_and(|value| values.iter().any(|pattern| pattern.matches(&value)))
            }
            Self::Hint(hints) => {
                words.hint.is_some_and(|hint| hints.iter().any(|pattern| pattern.matches(hint)))
            }
        }
    }

    /// The key in the configuration.
    pub(crate) fn key(&self) -> String {
        match self {
            Self::Route(_) => "match.route".to_owned(),
            Self::Tag(name, _) => format!("match.tags.{name}"),
            Self::Hint(_) => "match.hint".to_owned(),
        }
    }

    /// The tags that it asks for.
    pub(crate) fn asks_for(&self) -> Vec<Box<str>> {
        match self {
            Self::Route(routes) if routes.iter().any(RoutePattern::has_method) => {
                vec!["route".into(), "method".into()]
            }
            // A route tag may begin with a method, and then that counts.
            Self::Route(_) => vec!["route".into()],
            Self::Tag(name, _) => vec![name.clone()],
            Self::Hint(_) => Vec::new(),
        }
    }
}

/// Answers that a thread keeps. Each has one place, and the one asked for last keeps it.
const PLACES: usize = 128;
/// The longest words of which the answer is kept, in bytes.
const LONGEST: usize = 512;

struct Kept {
    generation: u64,
    words: Box<[u8]>,
    rules: Mask,
}

thread_local! {
    static KEPT: RefCell<Vec<Option<Kept>>> = const { RefCell::new(Vec::new()) };
    static ASKED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Finds the answer for some words, or works it out. Of the tags only those count that `names` has.
pub(crate) fn kept(
    generation: u64,
    names: &[Box<str>],
    words: &Words<'_>,
    work_out: impl FnOnce() -> Mask,
) -> Mask {
    ASKED.with_borrow_mut(|asked| {
        asked.clear();
        let number =
            words.tags.as_ref().and_then(Tags::number).filter(|_| !names.iter().any(|name| **name == *TRACE));
        asked.push(u8::from(number.is_some()));
        asked.extend_from_slice(number.as_ref().map(|number| number.to_ne_bytes()).as_slice().as_flattened());
        asked.extend_from_slice(words.hint.unwrap_or_default().as_bytes());
        let tags = words.tags.iter().filter(|_| number.is_none());
        for tag in tags.flat_map(Tags::iter) {
            let named = |meant: &[u8]| names.iter().position(|name| name.as_bytes() == meant);
            let encoded = || tag.name.contains(&b'%').then(|| decoded(tag.name));
            let place = named(tag.name).or_else(|| named(encoded()?.as_bytes()));
            if let Some(name) = place {
                // The place of a name stands for it: the generation tells the lists of names apart.
                asked.extend_from_slice(&[0, name as u8, (name >> 8) as u8]);
                asked.extend_from_slice(tag.value);
            }
        }
        if asked.len() > LONGEST {
            return work_out();
        }
        let place = scan::fingerprint(asked) as usize % PLACES;
        KEPT.with_borrow_mut(|table| {
            if table.is_empty() {
                table.resize_with(PLACES, || None);
            }
            let Some(place) = table.get_mut(place) else { return work_out() };
            match place {
                Some(kept) if kept.generation == generation && *kept.words == **asked => kept.rules,
                place => {
                    let rules = work_out();
                    *place = Some(Kept { generation, words: (&**asked).into(), rules });
                    rules
                }
            }
        })
    })
}
