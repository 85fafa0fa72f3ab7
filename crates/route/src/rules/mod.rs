//! The rules of the configuration, made ready for matching: the first one whose conditions all hold decides.
//!
//! A rule is matched in three parts. What it asks of the text is looked at once for all texts that share their facts,
//! and kept with them ([`pgsplit_sql::Noted`]); what it asks of the session, once a session; what it asks of tags and hints, once for
//! each set of tags that a thread meets. A statement then costs the meeting of three sets of bits.

mod aim;
mod counters;
mod mask;
mod path;
mod pattern;
mod people;
mod rule;
mod set;
mod text;
mod told;
mod web;
mod words;

#[cfg(test)]
pub(crate) mod tests;

pub use aim::{Aim, NodeSet};
pub use counters::{Counters, Ended, Figures};
pub use mask::{MOST_RULES, Mask};
pub use path::SearchPath;
pub use people::{Share, Speaker};
pub use rule::{Rule, fingerprint};
pub use set::{Found, RuleId, Rules};
pub use told::{TellOf, Told};
pub use words::Words;
