//! From the bytes of a statement to the facts that routing and pooling need.
//!
//! The way of a text: [`scan`] cuts it into tokens and statements and makes the cache key, [`command`] recognises
//! transaction and session commands from tokens alone, sqlparser reads what is left, and [`facts`] says what the text
//! reads, writes, calls and changes, given a [`catalog`] of one database and the lists in [`builtin`].
//! [`Analyzer`] does all of it behind a cache. Comments around a text have no part in that; [`tags`] reads them.
//!
//! The crate is pure: no sockets, no clock, no await. It decides nothing; `route` does, from the facts.
//!
//! Two assumptions are the caller's to check, because the text does not show them: `standard_conforming_strings` is
//! on, and in the client encoding no byte of a multi-byte character is below 0x80. Where they do not hold, the text
//! goes to the primary unread.

pub mod builtin;
pub mod catalog;
pub mod command;
pub mod effects;
pub mod facts;
pub mod scan;
pub mod tags;

mod analyse;
mod analyzer;
mod judge;
mod outline;
mod query;
mod recent;
mod settings;
mod tables;
mod traces;

pub use analyzer::Analyzer;
pub use catalog::Catalog;
pub use command::Command;
pub use effects::Effects;
pub use facts::{Facts, Marker, NotRead, Noted, Statement, Verdict};
pub use scan::Around;
pub use tables::{Tables, key};
