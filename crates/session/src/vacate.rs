//! DROP DATABASE and its like want nobody else to be connected to the database. The proxy's own idle connections, which no
//! client knows of, must not be in their way; those of clients that are logged in are, as on one PostgreSQL server.

use std::time::Duration;

use crate::session::Session;

/// For how long a server waits for others to leave (`CountOtherDBBackends` in procarray.c), and how often it looks.
const LOOKS: usize = 50;
const PAUSE: Duration = Duration::from_millis(100);

impl Session {
    /// Closes idle connections to the database that a text needs for itself. In the background, while the server waits: a
    /// client that has just said goodbye may not be gone yet.
    pub(crate) fn vacate(&self, text: &[u8]) {
        let Some(database) = pgsplit_sql::command::vacated(text) else { return };
        let (pools, control) = (self.shared.pools.clone(), self.shared.control.clone());
        tokio::spawn(async move {
            for _ in 0..LOOKS {
                if pools.vacate(&database) {
                    control.vacate(&database);
                    break;
                }
                tokio::time::sleep(PAUSE).await;
            }
        });
    }
}
