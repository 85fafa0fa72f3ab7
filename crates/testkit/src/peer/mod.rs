//! Peers that speak the protocol by script, for what a driver will not do: odd orders, torn and
//! malformed messages, and comparing the exact streams of two connections.
//!
//! [`message`] makes the bytes, [`RawClient`] carries them. Nothing here decides what is right; the
//! test does.

mod client;
pub mod message;

pub use client::{Message, RawClient};
