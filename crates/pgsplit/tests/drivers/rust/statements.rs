//! Statements, parameters and results, COPY, and what is large.

use std::pin::{Pin, pin};
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use futures_util::{SinkExt, StreamExt, TryStreamExt};
use tokio_postgres::binary_copy::{BinaryCopyInWriter, BinaryCopyOutStream};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Config, Error, SimpleQueryMessage};

use super::transcript::{Transcript, connect};

const SETUP: &str = "DROP SCHEMA IF EXISTS rust_statements CASCADE; CREATE SCHEMA rust_statements;
SET search_path = rust_statements, public;
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE TABLE item (id int PRIMARY KEY, name text NOT NULL, price float8 CHECK (price > 0));
CREATE TABLE log (id serial PRIMARY KEY, what text);
CREATE TABLE copied (id int PRIMARY KEY, word text);
INSERT INTO item SELECT n, 'item ' || n, n * 1.25 FROM generate_series(1, 100) n;";

pub(crate) fn statements(uri: String) -> Pin<Box<dyn Future<Output = String>>> {
    Box::pin(async move { script(&uri).await.unwrap() })
}

async fn script(uri: &str) -> Result<String, Error> {
    let mut transcript = Transcript::default();
    let mut config: Config = uri.parse()?;
    let setup = connect(&config).await?;
    setup.client.batch_execute(SETUP).await?;
    setup.close().await;
    config.options("-c search_path=rust_statements,public");
    let mut session = connect(&config).await?;
    let client = &mut session.client;
    simple(&mut transcript, client).await?;
    parameters(&mut transcript, client).await?;
    types(&mut transcript, client).await?;
    prepared(&mut transcript, client).await?;
    in_flight(&mut transcript, client).await?;
    portals(&mut transcript, client).await?;
    copy(&mut transcript, client).await?;
    large(&mut transcript, client).await?;
    session.close().await;
    Ok(transcript.finish())
}

async fn simple(t: &mut Transcript, client: &Client) -> Result<(), Error> {
    t.section("simple queries");
    for text in [
        "SELECT id, name, NULL FROM item WHERE id < 3 ORDER BY id",
        "",
        ";;",
        "SELECT 1; INSERT INTO log (what) VALUES ('a'); SELECT count(*) FROM log",
    ] {
        let messages = client.simple_query(text).await?;
        let shown: Vec<_> = messages.iter().map(shown).collect();
        t.show(text, shown);
    }
    t.attempt(
        "an error in the middle",
        client.batch_execute("INSERT INTO log (what) VALUES ('x'); SELECT 1/0").await,
    );
    t.attempt("was rolled back", count(client, "SELECT count(*) FROM log").await);
    t.attempt("syntax", client.batch_execute("SELEC 1").await);
    Ok(())
}

fn shown(message: &SimpleQueryMessage) -> String {
    match message {
        SimpleQueryMessage::Row(row) => {
            format!("{:?}", (0..row.len()).map(|i| row.get(i)).collect::<Vec<_>>())
        }
        SimpleQueryMessage::CommandComplete(count) => format!("done {count}"),
        SimpleQueryMessage::RowDescription(columns) => {
            format!("{:?}", columns.iter().map(tokio_postgres::SimpleColumn::name).collect::<Vec<_>>())
        }
        _ => "other".to_owned(),
    }
}

async fn count(client: &Client, text: &str) -> Result<i64, Error> {
    Ok(client.query_one(text, &[]).await?.get(0))
}

async fn parameters(t: &mut Transcript, client: &Client) -> Result<(), Error> {
    t.section("parameters");
    let rows =
        client.query("SELECT id, name FROM item WHERE id = ANY($1) ORDER BY id", &[&vec![3, 5]]).await?;
    t.show("rows", rows.iter().map(|row| (row.get::<_, i32>(0), row.get::<_, &str>(1))).collect::<Vec<_>>());
    t.attempt("insert", client.execute("INSERT INTO log (what) VALUES ($1), ($2)", &[&"b", &"it's"]).await);
    t.attempt("seen", count(client, "SELECT count(*) FROM log").await);
    t.attempt(
        "nothing",
        client.query_opt("SELECT 1 FROM item WHERE id = $1", &[&-1]).await.map(|row| row.is_some()),
    );
    let typed = client.query_typed("SELECT $1 + 1", &[(&41_i32, Type::INT4)]).await?;
    t.show("with types", typed[0].get::<_, i32>(0));
    t.attempt("a constraint", client.execute("INSERT INTO item VALUES (500, 'x', $1)", &[&-1.0]).await);
    t.attempt("a duplicate", client.execute("INSERT INTO item VALUES (1, 'x', 1)", &[]).await);
    t.attempt("no table", client.query("SELECT *\nFROM   missing", &[]).await.map(|rows| rows.len()));
    t.attempt("wrong count", client.query("SELECT $1::int / 0", &[&1]).await.map(|rows| rows.len()));
    t.show("in recovery", client.query_one("SELECT pg_is_in_recovery()", &[]).await?.get::<_, bool>(0));
    Ok(())
}

async fn types(t: &mut Transcript, client: &Client) -> Result<(), Error> {
    t.section("types in binary");
    let time = SystemTime::UNIX_EPOCH + Duration::from_micros(1_700_000_000_123_456);
    let values: [(&str, &(dyn ToSql + Sync)); 14] = [
        ("bool", &true),
        ("\"char\"", &7_i8),
        ("int2", &i16::MIN),
        ("int4", &i32::MAX),
        ("int8", &i64::MIN),
        ("oid", &u32::MAX),
        ("float4", &1.5_f32),
        ("float8", &f64::NEG_INFINITY),
        ("text", &"a'b\\c é漢"),
        ("bytea", &&b"\x00\xff"[..]),
        ("timestamptz", &time),
        ("int4[]", &vec![Some(1), None, Some(3)]),
        ("text[]", &vec!["a,b", ""]),
        ("text", &None::<String>),
    ];
    for (kind, value) in values {
        let text = format!("SELECT $1::{kind}::text, $1::{kind}, pg_typeof($1::{kind})::text");
        let row = client.query_one(&text, &[value]).await?;
        t.show(kind, (row.get::<_, Option<&str>>(0), row.columns()[1].type_(), row.get::<_, &str>(2)));
    }
    let row = client
        .query_one("SELECT 'sad'::mood, '{happy,sad}'::mood[], now() - now(), '1.5'::numeric", &[])
        .await?;
    // Object ids of one's own types differ from database to database.
    t.show("types by name", row.columns().iter().map(|column| column.type_().name()).collect::<Vec<_>>());
    let row = client
        .query_one(
            "SELECT $1::int4, $2::int8, $3::float8, $4::text, $5::bytea, $6::timestamptz",
            &[&1_i32, &2_i64, &0.1_f64, &"x", &&b"\x01"[..], &time],
        )
        .await?;
    t.show(
        "and back",
        (
            row.get::<_, i32>(0),
            row.get::<_, i64>(1),
            row.get::<_, f64>(2),
            row.get::<_, String>(3),
            row.get::<_, Vec<u8>>(4),
            row.get::<_, SystemTime>(5),
        ),
    );
    Ok(())
}

async fn prepared(t: &mut Transcript, client: &Client) -> Result<(), Error> {
    t.section("prepared statements");
    let statement = client.prepare("SELECT id * 2, name FROM item WHERE id = $1").await?;
    t.show(
        "described",
        (statement.params(), statement.columns().iter().map(|c| (c.name(), c.type_())).collect::<Vec<_>>()),
    );
    let mut sum = 0;
    for n in 0..300 {
        sum += client.query_one(&statement, &[&(n % 100 + 1)]).await?.get::<_, i32>(0);
    }
    t.show("300 times", sum);
    let (write, read) = (
        client.prepare("INSERT INTO log (what) VALUES ('turn')").await?,
        client.prepare("SELECT count(*) FROM log WHERE what = 'turn'").await?,
    );
    let mut stale = Vec::new();
    for n in 1..=50 {
        client.execute(&write, &[]).await?;
        let seen: i64 = client.query_one(&read, &[]).await?.get(0);
        if seen != n {
            stale.push((n, seen));
        }
    }
    t.show("in turns", stale);
    let mut many = Vec::new();
    for n in 0..600 {
        many.push(client.prepare(&format!("SELECT {n} + $1::int")).await?);
    }
    let mut sum = 0;
    for statement in many.iter().rev() {
        sum += client.query_one(statement, &[&1]).await?.get::<_, i32>(0);
    }
    t.show("six hundred at a time", sum);
    drop(many);
    t.attempt("syntax", client.prepare("SELECT FROM WHERE").await.map(|_| ()));
    t.attempt("unknown type", client.prepare("SELECT $1::nowhere").await.map(|_| ()));
    client.batch_execute("CREATE TABLE shape AS SELECT 1 AS a").await?;
    let shape = client.prepare("SELECT * FROM shape").await?;
    t.show("columns", client.query_one(&shape, &[]).await?.len());
    client.batch_execute("ALTER TABLE shape ADD COLUMN b int DEFAULT 2").await?;
    t.attempt("of another shape now", client.query(&shape, &[]).await.map(|rows| rows.len()));
    Ok(())
}

async fn in_flight(t: &mut Transcript, client: &Client) -> Result<(), Error> {
    t.section("several in flight");
    let read = client.prepare("SELECT id FROM item WHERE id = $1").await?;
    let ids: Vec<i32> = (1..=100).collect();
    let rows = join_all(ids.iter().map(|id| {
        let read = &read;
        async move { client.query_one(read, &[id]).await.map(|row| row.get::<_, i32>(0)) }
    }))
    .await;
    t.show("reads", rows.into_iter().sum::<Result<i32, _>>()?);
    let texts = [
        "INSERT INTO log (what) VALUES ('flight')",
        "SELECT count(*) FROM log WHERE what = 'flight'",
        "SELECT 1/0",
        "SELECT 3",
        "BEGIN",
        "DELETE FROM log",
        "ROLLBACK",
        "SELECT count(*) FROM log WHERE what = 'flight'",
    ];
    for (text, outcome) in texts.iter().zip(join_all(texts.map(|text| client.simple_query(text))).await) {
        t.attempt(text, outcome.map(|messages| messages.iter().map(shown).collect::<Vec<_>>()));
    }
    Ok(())
}

async fn portals(t: &mut Transcript, client: &mut Client) -> Result<(), Error> {
    t.section("portals");
    let transaction = client.transaction().await?;
    let portal = transaction.bind("SELECT id FROM item WHERE id > $1 ORDER BY id", &[&10]).await?;
    let mut seen = Vec::new();
    loop {
        let rows = transaction.query_portal(&portal, 40).await?;
        seen.push(rows.len());
        if rows.is_empty() {
            break;
        }
    }
    t.show("in forties", seen);
    transaction.commit().await?;
    let rows = pin!(client.query_raw("SELECT id FROM item WHERE id > $1", [50]).await?);
    t.show("a stream", rows.try_fold(0, |sum, row| async move { Ok(sum + row.get::<_, i32>(0)) }).await?);
    Ok(())
}

async fn copy(t: &mut Transcript, client: &Client) -> Result<(), Error> {
    t.section("copy");
    let put = |lines: Vec<String>| async move {
        let mut sink = pin!(client.copy_in("COPY copied FROM STDIN").await?);
        for line in lines {
            sink.send(bytes(line)).await?;
        }
        sink.finish().await
    };
    let lines = |range: std::ops::Range<i32>| range.map(|n| format!("{n}\tw{n}\n")).collect::<Vec<_>>();
    t.attempt("in", put(lines(0..10_000)).await);
    let bad = [lines(20_000..20_500), vec!["bad\tx\n".to_owned()], lines(20_500..30_000)].concat();
    t.attempt("a bad row in the middle", put(bad).await);
    {
        let mut sink = pin!(client.copy_in("COPY copied FROM STDIN").await?);
        sink.send(bytes("50000\tx\n".to_owned())).await?;
        // Dropped without an end: the driver tells the server that it failed.
    }
    t.attempt("given up", count(client, "SELECT count(*) FROM copied").await);
    let take = |text: &'static str| async move {
        let chunks: Vec<_> = client.copy_out(text).await?.try_collect().await?;
        Ok::<_, Error>(chunks.iter().map(|chunk| chunk.len()).sum::<usize>())
    };
    t.attempt("out", take("COPY copied TO STDOUT").await);
    t.attempt(
        "an error while it is sent",
        take("COPY (SELECT 10 / (5000 - id) FROM copied ORDER BY id) TO STDOUT").await,
    );
    let sink = client.copy_in("COPY copied FROM STDIN (FORMAT binary)").await?;
    let mut writer = pin!(BinaryCopyInWriter::new(sink, &[Type::INT4, Type::TEXT]));
    for n in 60_000..60_100_i32 {
        writer.as_mut().write(&[&n, &"binary"]).await?;
    }
    t.attempt("in in binary", writer.finish().await);
    let stream =
        client.copy_out("COPY (SELECT * FROM copied WHERE id > 60096) TO STDOUT (FORMAT binary)").await?;
    let rows: Vec<_> = BinaryCopyOutStream::new(stream, &[Type::INT4, Type::TEXT]).try_collect().await?;
    t.show(
        "out in binary",
        rows.iter().map(|row| (row.get::<i32>(0), row.get::<&str>(1))).collect::<Vec<_>>(),
    );
    {
        let mut stream =
            pin!(client.copy_out("COPY (SELECT * FROM generate_series(1, 200000)) TO STDOUT").await?);
        t.show("left early", stream.next().await.is_some());
    }
    t.attempt("still usable", count(client, "SELECT count(*) FROM copied").await);
    Ok(())
}

fn bytes(line: String) -> std::io::Cursor<Vec<u8>> {
    std::io::Cursor::new(line.into_bytes())
}

async fn large(t: &mut Transcript, client: &Client) -> Result<(), Error> {
    t.section("large things");
    let blob: Vec<u8> = (0..16 << 20).map(|n: u32| n.to_le_bytes()[0]).collect();
    let back: Vec<u8> = client.query_one("SELECT $1::bytea", &[&blob]).await?.get(0);
    t.show("16 MiB and back", back == blob);
    let row = client.query_one("SELECT repeat('x', 30000000), repeat('y', 1000)", &[]).await?;
    t.show("a row of 30 MB", (row.get::<_, &str>(0).len(), row.get::<_, &str>(1).len()));
    let text = "SELECT n, repeat(md5(n::text), 30) FROM generate_series(1, 30000) n";
    let mut rows = pin!(client.query_raw(text, std::iter::empty::<i32>()).await?);
    let (mut seen, mut size) = (0, 0);
    while let Some(row) = rows.try_next().await? {
        (seen, size) = (seen + 1, size + row.get::<_, &str>(1).len());
        if seen % 3000 == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    t.show("read slowly", (seen, size));
    Ok(())
}
