//! The one place where the kit waits by looking again: for what other processes do there is nothing to
//! be notified by. Always with a limit, and as short as the condition allows.

use std::time::{Duration, Instant};

use crate::Error;

/// The longest that any single step of the kit takes before it is an error.
pub const LIMIT: Duration = Duration::from_secs(30);

/// Asks `probe` until it answers `Some`, fails, or `limit` is over. The pause between two questions
/// grows from 2 to 50 ms.
pub fn until<T>(
    what: &str,
    limit: Duration,
    mut probe: impl FnMut() -> Result<Option<T>, Error>,
) -> Result<T, Error> {
    let deadline = Instant::now() + limit;
    let mut pause = Duration::from_millis(2);
    loop {
        if let Some(answer) = probe()? {
            return Ok(answer);
        }
        if Instant::now() >= deadline {
            return Err(Error::TimeOut { what: what.to_owned(), limit });
        }
        sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

#[allow(clippy::disallowed_methods, reason = "a bounded pause between two looks at another process")]
fn sleep(pause: Duration) {
    std::thread::sleep(pause);
}
