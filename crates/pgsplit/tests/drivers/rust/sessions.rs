//! Connecting, transactions, cancel and time-out, notices and notifications, and a pool.

use std::pin::Pin;
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod};
use futures_util::future::join_all;
use tokio_postgres::config::{ChannelBinding, TargetSessionAttrs};
use tokio_postgres::{Client, Config, Error, IsolationLevel, NoTls};

use super::transcript::{Connected, Transcript, connect};

const SETUP: &str = "DROP SCHEMA IF EXISTS rust_sessions CASCADE; CREATE SCHEMA rust_sessions;
CREATE TABLE rust_sessions.item (id int PRIMARY KEY, stock int);
CREATE TABLE rust_sessions.log (id serial PRIMARY KEY, what text);
INSERT INTO rust_sessions.item SELECT n, n FROM generate_series(1, 100) n;";
const ENDLESS: &str = "SELECT count(*) FROM generate_series(1, 3000000000) n";

/// Changes the parameters of a connection.
type Change = fn(&mut Config) -> &mut Config;

pub(crate) fn sessions(uri: String) -> Pin<Box<dyn Future<Output = String>>> {
    Box::pin(async move { script(&uri).await.unwrap() })
}

async fn script(uri: &str) -> Result<String, Error> {
    let mut t = Transcript::default();
    let mut config: Config = uri.parse()?;
    let setup = connect(&config).await?;
    setup.client.batch_execute(SETUP).await?;
    setup.close().await;
    connecting(&mut t, &config).await?;
    config.options("-c search_path=rust_sessions,public");
    let mut session = connect(&config).await?;
    transactions(&mut t, &mut session.client).await?;
    isolation(&mut t, &mut session.client).await?;
    cancel(&mut t, &session).await?;
    notices(&mut t, &session, &config).await?;
    session.close().await;
    pool(&mut t, &config).await;
    Ok(t.finish())
}

async fn connecting(t: &mut Transcript, config: &Config) -> Result<(), Error> {
    t.section("connecting");
    let variants: [(&str, Change); 12] = [
        ("plain", |config| config),
        ("application_name", |config| config.application_name("my app")),
        ("options", |config| config.options("-c work_mem=5MB -c timezone=Asia/Tokyo")),
        ("connect_timeout", |config| config.connect_timeout(Duration::from_secs(5))),
        ("keepalives", |config| config.keepalives_idle(Duration::from_secs(30))),
        ("read-write", |config| config.target_session_attrs(TargetSessionAttrs::ReadWrite)),
        ("no channel binding", |config| config.channel_binding(ChannelBinding::Disable)),
        ("read-only", |config| config.target_session_attrs(TargetSessionAttrs::ReadOnly)),
        ("wrong password", |config| config.password("wrong")),
        ("unknown user", |config| config.user("nobody_of_that_name")),
        ("unknown database", |config| config.dbname("no_such_database")),
        ("unknown setting", |config| config.options("-c no_such_setting=1")),
    ];
    for (name, change) in variants {
        match connect(change(&mut config.clone())).await {
            Ok(session) => {
                let asked = "SELECT concat_ws(' ', current_user, current_database(), current_setting('application_name'), \
                    current_setting('work_mem'), current_setting('TimeZone'), current_setting('search_path'))";
                t.show(name, session.client.query_one(asked, &[]).await?.get::<_, String>(0));
                session.close().await;
            }
            Err(error) => t.attempt::<()>(name, Err(error)),
        }
    }
    Ok(())
}

async fn count(client: &Client, what: &str) -> Result<i64, Error> {
    Ok(client.query_one("SELECT count(*) FROM log WHERE what = $1", &[&what]).await?.get(0))
}

async fn transactions(t: &mut Transcript, client: &mut Client) -> Result<(), Error> {
    t.section("transactions");
    let insert = |what: &'static str| format!("INSERT INTO log (what) VALUES ('{what}')");
    let transaction = client.transaction().await?;
    transaction.execute(&insert("kept"), &[]).await?;
    transaction.commit().await?;
    let transaction = client.transaction().await?;
    transaction.execute(&insert("dropped"), &[]).await?;
    drop(transaction);
    t.show("kept and dropped", (count(client, "kept").await?, count(client, "dropped").await?));
    let mut transaction = client.transaction().await?;
    transaction.execute(&insert("outer"), &[]).await?;
    let inner = transaction.savepoint("one").await?;
    inner.execute(&insert("inner"), &[]).await?;
    t.attempt("an error in a savepoint", inner.execute("SELECT 1/0", &[]).await);
    t.attempt("after the error", inner.execute("SELECT 1", &[]).await);
    inner.rollback().await?;
    let inner = transaction.transaction().await?;
    inner.execute(&insert("nested"), &[]).await?;
    inner.commit().await?;
    transaction.commit().await?;
    t.show(
        "of savepoints",
        (count(client, "outer").await?, count(client, "inner").await?, count(client, "nested").await?),
    );
    t.attempt("a failed one", client.batch_execute("BEGIN; SELECT 1/0; COMMIT").await);
    t.attempt("still failed", client.query_one("SELECT 1", &[]).await.map(|row| row.get::<_, i32>(0)));
    client.batch_execute("ROLLBACK").await?;
    t.attempt("again", client.query_one("SELECT 1", &[]).await.map(|row| row.get::<_, i32>(0)));
    Ok(())
}

async fn isolation(t: &mut Transcript, client: &mut Client) -> Result<(), Error> {
    t.section("isolation levels");
    let levels = [
        IsolationLevel::ReadUncommitted,
        IsolationLevel::ReadCommitted,
        IsolationLevel::RepeatableRead,
        IsolationLevel::Serializable,
    ];
    for level in levels {
        for read_only in [false, true] {
            let begin = client.build_transaction().isolation_level(level).read_only(read_only);
            let transaction = begin.deferrable(read_only).start().await?;
            let asked = "SELECT concat_ws(' ', current_setting('transaction_isolation'), current_setting('transaction_read_only'), \
                current_setting('transaction_deferrable'), (SELECT count(*) FROM item))";
            t.show(format!("{level:?}"), transaction.query_one(asked, &[]).await?.get::<_, String>(0));
            let write = transaction.execute("UPDATE item SET stock = stock + 1 WHERE id = 1", &[]).await;
            t.attempt("a write", write);
            transaction.rollback().await?;
        }
    }
    Ok(())
}

async fn cancel(t: &mut Transcript, session: &Connected) -> Result<(), Error> {
    t.section("cancel and time-out");
    let client = &session.client;
    let token = client.cancel_token();
    for text in ["SELECT pg_sleep(30)", ENDLESS] {
        let mut running = std::pin::pin!(client.batch_execute(text));
        // Until it has ended, as it may not have begun at the first attempt; but seldom, because the driver does not wait
        // until the server has taken the request, and a late one would hit the next statement.
        let outcome = loop {
            tokio::select! {
                outcome = &mut running => break outcome,
                () = tokio::time::sleep(Duration::from_millis(500)) => token.cancel_query(NoTls).await?,
            }
        };
        t.attempt("cancelled", outcome);
        t.attempt("afterwards", client.query_one("SELECT 1", &[]).await.map(|row| row.get::<_, i32>(0)));
    }
    client.batch_execute("SET statement_timeout = '100ms'").await?;
    for text in ["SELECT pg_sleep(30)", ENDLESS] {
        t.attempt("time-out", client.batch_execute(text).await);
    }
    client.batch_execute("RESET statement_timeout").await?;
    t.attempt("without", client.batch_execute("SELECT pg_sleep(0.2)").await);
    // A future that is dropped: the driver reads the answer away, and what follows gets its own.
    let dropped = tokio::time::timeout(
        Duration::from_millis(50),
        client.query("SELECT 'late' FROM pg_sleep(0.3)", &[]),
    )
    .await;
    t.show("dropped", dropped.is_err());
    t.attempt(
        "its own answer",
        client.query_one("SELECT 'mine'", &[]).await.map(|row| row.get::<_, String>(0)),
    );
    Ok(())
}

async fn notices(t: &mut Transcript, one: &Connected, config: &Config) -> Result<(), Error> {
    t.section("notices and notifications");
    let raise = "DO $$ BEGIN RAISE NOTICE 'n'; RAISE WARNING 'w' USING DETAIL = 'd'; END $$";
    one.client.batch_execute(raise).await?;
    one.client.batch_execute("DROP TABLE IF EXISTS never_was").await?;
    t.show("notices", one.heard(3).await);
    let two = connect(config).await?;
    one.client.batch_execute("LISTEN news").await?;
    two.client.execute("SELECT pg_notify('news', $1)", &[&"first"]).await?;
    t.show("while silent", one.heard(1).await);
    two.client.batch_execute("BEGIN; NOTIFY news, 'second'; NOTIFY news, 'third'; COMMIT").await?;
    t.show("of a transaction", one.heard(2).await);
    one.client.batch_execute("NOTIFY news, 'to itself'").await?;
    t.show("from itself", one.heard(1).await);
    one.client.batch_execute("UNLISTEN *").await?;
    two.client.batch_execute("NOTIFY news, 'unheard'").await?;
    t.attempt(
        "and on",
        one.client.query_one("SELECT count(*) FROM item", &[]).await.map(|row| row.get::<_, i64>(0)),
    );
    t.show("unheard", one.heard.lock().unwrap().len());
    two.close().await;
    Ok(())
}

async fn pool(t: &mut Transcript, config: &Config) {
    t.section("a pool");
    for method in [RecyclingMethod::Fast, RecyclingMethod::Verified, RecyclingMethod::Clean] {
        let clean = matches!(method, RecyclingMethod::Clean);
        let manager =
            Manager::from_config(config.clone(), NoTls, ManagerConfig { recycling_method: method.clone() });
        let pool = Pool::builder(manager).max_size(4).build().unwrap();
        let work = |worker: i32| work(pool.clone(), worker, clean);
        let sums: i32 = join_all((0..8).map(work)).await.into_iter().sum();
        t.show(format!("{method:?}"), sums);
        pool.close();
    }
}

async fn work(pool: Pool, worker: i32, clean: bool) -> i32 {
    let mut sum = 0;
    for n in 1..=30 {
        let client = pool.get().await.unwrap();
        let asked =
            "SELECT current_setting('search_path'), coalesce(current_setting('app.tenant', true), '')";
        let row = client.query_one(asked, &[]).await.unwrap();
        assert_eq!(row.get::<_, &str>(0), "rust_sessions,public");
        assert!(!clean || row.get::<_, &str>(1).is_empty(), "worker {worker} sees {}", row.get::<_, &str>(1));
        client.batch_execute(&format!("SET app.tenant = 'worker {worker}'")).await.unwrap();
        let statement = client.prepare_cached("SELECT stock FROM item WHERE id = $1").await.unwrap();
        sum += client.query_one(&statement, &[&n]).await.unwrap().get::<_, i32>(0);
        let seen: String =
            client.query_one("SELECT current_setting('app.tenant')", &[]).await.unwrap().get(0);
        assert_eq!(seen, format!("worker {worker}"));
    }
    sum
}
