//! A byte scanner for SQL text: tokens, statements, the cache key.
//!
//! It follows PostgreSQL's `scan.l` with `standard_conforming_strings` on, takes any bytes and never fails: what it
//! cannot read is a token of its own ([`Kind::Broken`] or [`Kind::Other`]), and the caller gives up on such a text.
//! It knows no grammar beyond what splitting at semicolons needs.

mod around;
mod key;
mod lexer;
mod split;

pub use around::{Around, around, comments};
pub use key::{Form, fingerprint, normalise};
pub(crate) use key::{for_parser, normalise_part};
pub use lexer::{Kind, Lexer, Token};
pub use split::{statements, tokens};
