//! Sockets: listening, opening and connecting, with and without TLS.
//!
//! This crate turns addresses into [`Stream`]s and the first bytes of a client into an [`accept::Opening`].
//! It knows of the protocol only what comes before the first real message: SSLRequest, GSSENCRequest, direct
//! TLS, CancelRequest and the length of a StartupMessage. It is not for frames or messages, logins, pools or
//! policies; and it does not read the configuration: every setting arrives as a plain value.
//!
//! It is the first stage of the line (a client arrives here) and also stands under the pool (a server is
//! reached from here). Reads go into a buffer that belongs to the thread ([`scratch`]), so that an idle
//! connection owns none.

pub mod accept;
pub mod connect;
mod der;
pub mod listener;
pub mod scratch;
pub mod socket;
pub mod stream;
pub mod tls;

pub use accept::{AcceptError, Opening, Refusal, negotiate};
pub use connect::{ConnectError, ConnectTarget, connect};
pub use listener::{ListenAddr, Listener};
pub use stream::{Peer, Stream, TlsInfo};
pub use tls::{AcceptLevel, ClientTls, ConnectLevel, ServerTls};
