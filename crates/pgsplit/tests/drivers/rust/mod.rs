//! tokio-postgres, which speaks binary only, and deadpool-postgres as its pool.

mod sessions;
mod statements;
mod transcript;

pub(crate) use sessions::sessions;
pub(crate) use statements::statements;

use crate::compare::{LIMIT, assert_same};
use crate::stage::{DIRECT, PROXIED, Stage};

/// Writes a transcript of what it does at a URI.
type Script = fn(String) -> std::pin::Pin<Box<dyn Future<Output = String>>>;

/// Runs a script directly and through pgsplit; both must say the same.
pub(crate) fn compare(stage: &Stage, name: &str, script: Script) {
    let run = |uri: String| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let ended = runtime.block_on(async { tokio::time::timeout(LIMIT, script(uri)).await });
        // A session that hangs must not keep the others from running.
        runtime.shutdown_background();
        ended.unwrap_or_else(|_| panic!("tokio-postgres {name}: not within {LIMIT:?}"))
    };
    let direct = run(stage.direct(DIRECT));
    let proxied = stage.reading_on_replicas(|| run(stage.proxied(PROXIED)));
    assert_same(stage, name, &direct, &proxied);
}
