"""asyncpg: binary values, named statements for everything, and a pool that resets its connections."""

import asyncio
import datetime
import io
from decimal import Decimal

import asyncpg

from transcript import SETUP, TYPES, main, rows, section, show

SCHEMA = "asyncpg_all"


async def connect(uri, **keys):
    settings = {"search_path": f"{SCHEMA},public", **keys.pop("server_settings", {})}
    return await asyncpg.connect(uri, server_settings=settings, **keys)


def refused(label, error):
    fields = ("severity", "message", "detail", "hint", "position", "context", "schema_name", "table_name",
              "column_name", "data_type_name", "constraint_name")
    found = {name: getattr(error, name) for name in fields if getattr(error, name, None)}
    show(label, type(error).__name__, getattr(error, "sqlstate", None), found or str(error))


async def attempt(label, awaitable):
    try:
        show(label, await awaitable)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncio.TimeoutError, asyncio.CancelledError) as error:
        refused(label, error)


@section
async def setting_up(uri):
    conn = await asyncpg.connect(uri)
    show("tag", await conn.execute(SETUP.format(schema=SCHEMA)))
    await conn.close()


REPORTED = ["application_name", "client_encoding", "DateStyle", "default_transaction_read_only", "in_hot_standby",
            "IntervalStyle", "is_superuser", "server_encoding", "server_version", "session_authorization",
            "standard_conforming_strings", "TimeZone"]


@section
async def connecting(uri):
    for keys in [{}, {"timeout": 5, "command_timeout": 5}, {"statement_cache_size": 0}, {"ssl": False},
                 {"ssl": "prefer"}, {"target_session_attrs": "read-write"}, {"target_session_attrs": "primary"},
                 {"server_settings": {"application_name": "my app", "statement_timeout": "7s", "jit": "off"}},
                 {"server_settings": {"timezone": "Asia/Tokyo", "my.setting": "a b"}}]:
        conn = await connect(uri, **keys)
        show(keys, *await conn.fetchrow(
            "SELECT current_user, current_database(), current_setting('application_name'), "
            "current_setting('statement_timeout'), current_setting('TimeZone'), current_setting('jit'), "
            "current_setting('my.setting', true), current_setting('search_path')"))
        reported = conn.get_settings()
        show("reported", [getattr(reported, name) for name in REPORTED])
        show("version", conn.get_server_version(), conn.get_server_pid() > 0)
        await conn.close()
    for keys in [{"password": "wrong"}, {"user": "nobody_of_that_name"}, {"database": "no_such_database"},
                 {"server_settings": {"no_such_setting": "1"}}, {"server_settings": {"work_mem": "plenty"}},
                 {"target_session_attrs": "standby"}]:
        try:
            await (await connect(uri, **keys)).close()
            show(keys, "connected")
        except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.TargetServerAttributeNotMatched) as error:
            refused(keys, error)


@section
async def queries(uri):
    conn = await connect(uri)
    rows("fetch", await conn.fetch("SELECT * FROM item WHERE id = ANY($1) ORDER BY id", [2, 4]))
    show("fetchval", await conn.fetchval("SELECT count(*) FROM item WHERE price > $1", Decimal("100")))
    show("fetchrow", dict(await conn.fetchrow("SELECT * FROM item WHERE id = $1", 7)))
    show("nothing", await conn.fetchrow("SELECT * FROM item WHERE id = $1", -1))
    show("execute", await conn.execute("INSERT INTO log (what) VALUES ($1)", "one"))
    show("seen", await conn.fetchval("SELECT count(*) FROM log WHERE what = $1", "one"))
    show("script", await conn.execute("UPDATE log SET what = 'two'; SELECT 1; DELETE FROM log"))
    await attempt("script with an error", conn.execute("INSERT INTO log (what) VALUES ('x'); SELECT 1/0"))
    show("undone", await conn.fetchval("SELECT count(*) FROM log"))
    await attempt("syntax", conn.fetch("SELEC 1"))
    await attempt("no table", conn.fetch("SELECT *\nFROM   missing"))
    await attempt("a constraint", conn.execute("INSERT INTO item VALUES (500, 'x', $1)", Decimal(-1)))
    await attempt("a duplicate", conn.execute("INSERT INTO item VALUES (1, 'x', 1)"))
    await attempt("wrong type", conn.fetch("SELECT $1::int", "text"))
    show("in recovery", await conn.fetchval("SELECT pg_is_in_recovery()"))
    await conn.close()


@section
async def types(uri):
    conn = await connect(uri)
    for kind, values in TYPES:
        for value in values:
            # A parameter that the server declares as text takes the value as it is written; the column is binary.
            found = await conn.fetchrow(f"SELECT $1::text::{kind} AS v, ($1::text::{kind})::text AS t", value)
            show(kind, *found.values())
    given = [True, -32768, 2**31 - 1, -(2**63), 1.5, 0.1, Decimal("-1.50"), "é漢", b"\x00\xff",
             datetime.date(2024, 2, 29), datetime.datetime(2024, 2, 29, 1, 2, 3, 4, tzinfo=datetime.timezone.utc),
             datetime.timedelta(days=3, microseconds=7), [1, None, 3], ["a", "b,c"], "sad", (1, "w")]
    kinds = ["bool", "int2", "int4", "int8", "float4", "float8", "numeric", "text", "bytea", "date", "timestamptz",
             "interval", "int4[]", "text[]", "mood", "pair"]
    back = await conn.fetchrow("SELECT " + ", ".join(f"${n}::{kind}" for n, kind in enumerate(kinds, 1)), *given)
    show("parameters in binary", *back.values())
    await conn.set_type_codec("jsonb", encoder=str, decoder=str.upper, schema="pg_catalog")
    show("a codec of one's own", await conn.fetchval("SELECT $1::jsonb", '{"a": 1}'))
    await conn.close()


@section
async def statements(uri):
    conn = await connect(uri)
    statement = await conn.prepare("SELECT id, name FROM item WHERE id = $1")
    show("described", statement.get_parameters(), statement.get_attributes(), statement.get_statusmsg())
    show("500 times", sum([(await statement.fetchrow(n % 100 + 1))["id"] for n in range(500)]))
    insert = await conn.prepare("INSERT INTO log (what) VALUES ($1) RETURNING what")
    stale = []
    for n in range(40):
        await insert.fetchval(f"turn {n}")
        seen = await conn.fetchval("SELECT count(*) FROM log WHERE what LIKE 'turn%'")
        if seen != n + 1:
            stale.append((n, seen))
    show("in turns", stale)
    for n in range(150):
        await conn.fetchval(f"SELECT {n} + $1::int", n)
    show("more than asyncpg keeps", await conn.fetchval("SELECT 149 + $1::int", 1))
    await attempt("executemany", conn.executemany(
        "INSERT INTO log (what) VALUES ($1)", [(f"many {n}",) for n in range(1000)]))
    show("all there", await conn.fetchval("SELECT count(*) FROM log WHERE what LIKE 'many%'"))
    await attempt("executemany with an error", conn.executemany(
        "INSERT INTO item VALUES ($1, 'x', $2)", [(600, Decimal(1)), (601, Decimal(-1)), (602, Decimal(1))]))
    show("nothing of it", await conn.fetchval("SELECT count(*) FROM item WHERE id >= 600"))
    rows("fetchmany", await conn.fetchmany("SELECT name FROM item WHERE id = $1", [(1,), (2,), (3,)]))
    await conn.execute("CREATE TABLE IF NOT EXISTS shape AS SELECT 1 AS a")
    show("before", dict(await conn.fetchrow("SELECT * FROM shape")))
    await conn.execute("ALTER TABLE shape ADD COLUMN b int DEFAULT 2")
    show("asyncpg prepares again", dict(await conn.fetchrow("SELECT * FROM shape")))
    async with conn.transaction():
        show("and in a transaction", dict(await conn.fetchrow("SELECT * FROM shape")))
        await conn.execute("ALTER TABLE shape ADD COLUMN c int DEFAULT 3")
        await attempt("where it may not", conn.fetchrow("SELECT * FROM shape"))
        raise_later = conn.is_in_transaction()
    show("in a transaction", raise_later)
    await conn.close()
    conn = await connect(uri, statement_cache_size=0)
    show("unnamed", sum([await conn.fetchval("SELECT $1::int", n) for n in range(100)]))
    await conn.close()


@section
async def cursors(uri):
    conn = await connect(uri)
    async with conn.transaction():
        show("iterated", sum([row["id"] async for row in conn.cursor("SELECT id FROM item ORDER BY id", prefetch=9)]))
        cursor = await conn.cursor("SELECT id FROM item WHERE id > $1 ORDER BY id", 10)
        show("fetched", [row["id"] for row in await cursor.fetch(3)], await cursor.forward(10), await cursor.fetchrow())
    await attempt("without a transaction", iterate(conn))
    await conn.close()


async def iterate(conn):
    return [row async for row in conn.cursor("SELECT 1")]


@section
async def copy(uri):
    conn = await connect(uri)
    await conn.execute("CREATE TABLE copied (id int PRIMARY KEY, word text)")
    records = [(n, None if n % 10 == 0 else f"w\t{n}") for n in range(20000)]
    show("records", await conn.copy_records_to_table("copied", records=records))
    out = io.BytesIO()
    show("out", await conn.copy_from_query("SELECT * FROM copied WHERE id < $1 ORDER BY id", 15, output=out, format="csv"))
    show("as csv", out.getvalue())
    out = io.BytesIO()
    show("a table", await conn.copy_from_table("copied", output=out), len(out.getvalue()))
    show("in as csv", await conn.copy_to_table("copied", source=io.BytesIO(b"30000,x\n30001,y\n"), format="csv"))
    lines = [b"%d,x\n" % n for n in range(40000, 41000)]
    bad = io.BytesIO(b"".join(lines[:500] + [b"bad,x\n"] + lines[500:]))
    await attempt("a bad row in the middle", conn.copy_to_table("copied", source=bad, format="csv"))

    async def fails():
        yield b"50000\tx\n"
        raise asyncpg.InterfaceError("the source is broken")

    await attempt("the source fails", conn.copy_to_table("copied", source=fails()))
    await attempt("an error while it is sent", conn.copy_from_query(
        "SELECT 10 / (15000 - id) FROM copied ORDER BY id", output=io.BytesIO()))

    async def refuses(data):
        raise asyncpg.InterfaceError("the target is full")

    await attempt("the target fails", conn.copy_from_query("SELECT * FROM generate_series(1, 200000)", output=refuses))
    show("still usable", await conn.fetchval("SELECT count(*) FROM copied"))
    await conn.close()


@section
async def transactions(uri):
    conn = await connect(uri)
    for isolation in (None, "read_uncommitted", "read_committed", "repeatable_read", "serializable"):
        for keys in ({}, {"readonly": True}, {"readonly": True, "deferrable": True}):
            async with conn.transaction(isolation=isolation, **keys):
                show(isolation, keys, *await conn.fetchrow(
                    "SELECT current_setting('transaction_isolation'), current_setting('transaction_read_only'), "
                    "current_setting('transaction_deferrable'), (SELECT count(*) FROM item)"))
    async with conn.transaction():
        await conn.execute("INSERT INTO log (what) VALUES ('outer')")
        try:
            async with conn.transaction():
                await conn.execute("INSERT INTO log (what) VALUES ('inner')")
                await conn.fetch("SELECT 1/0")
        except asyncpg.PostgresError as error:
            refused("in a savepoint", error)
        show("inside", await conn.fetchval("SELECT count(*) FROM log WHERE what IN ('outer', 'inner')"))
    show("after", await conn.fetchval("SELECT count(*) FROM log WHERE what IN ('outer', 'inner')"))
    transaction = conn.transaction(readonly=True)
    await transaction.start()
    await attempt("a write in a read-only one", conn.execute("DELETE FROM log"))
    await attempt("after the error", conn.fetch("SELECT 1"))
    await transaction.rollback()
    show("again", await conn.fetchval("SELECT 1"))
    await conn.close()


@section
async def cancel_and_time_out(uri):
    conn = await connect(uri)
    endless = "SELECT count(*) FROM generate_series(1, 3000000000) n"
    for text in ("SELECT pg_sleep(30)", endless):
        await attempt("time-out of the driver", conn.fetch(text, timeout=0.3))
        show("afterwards", await conn.fetchval("SELECT 1"))
        task = asyncio.ensure_future(conn.fetch(text))
        await asyncio.wait([task], timeout=0.3)
        task.cancel()
        await attempt("a cancelled task", task)
        show("afterwards", await conn.fetchval("SELECT 1"))
    async with conn.transaction():
        await attempt("in a transaction", conn.fetch("SELECT pg_sleep(30)", timeout=0.3))
        await attempt("failed", conn.fetch("SELECT 1"))
        await conn.execute("ROLLBACK; BEGIN")
    await conn.execute("SET statement_timeout = '100ms'")
    await attempt("time-out of the server", conn.fetch("SELECT pg_sleep(30)"))
    await attempt("of a read", conn.fetch(endless))
    await conn.close()


@section
async def notices_and_notifications(uri):
    one, two = await connect(uri), await connect(uri)
    heard, told = asyncio.Queue(), []
    one.add_log_listener(lambda _, message: told.append((message.severity, message.sqlstate, message.message)))
    await one.execute("DO $$ BEGIN RAISE NOTICE 'n'; RAISE WARNING 'w'; END $$; DROP TABLE IF EXISTS never_was")
    await one.fetch("SELECT 1")
    await asyncio.sleep(0)
    rows("notices", told)
    await one.add_listener("news", lambda _, pid, channel, payload: heard.put_nowait((channel, payload)))
    for n in range(3):
        await two.execute("SELECT pg_notify('news', $1)", f"item {n}")
    rows("heard while silent", [await asyncio.wait_for(heard.get(), 10) for _ in range(3)])
    await one.execute("NOTIFY news, 'to itself'")
    rows("from itself", [await asyncio.wait_for(heard.get(), 10)])
    await one.reset()
    await two.execute("NOTIFY news, 'unheard'")
    show("after reset", await one.fetchval("SELECT count(*) FROM pg_listening_channels()"), heard.qsize())
    await one.close()
    await two.close()


@section
async def large_things(uri):
    conn = await connect(uri)
    blob = bytes(range(256)) * 65536
    show("16 MiB and back", await conn.fetchval("SELECT $1::bytea", blob) == blob)
    row = await conn.fetchrow("SELECT repeat('x', 30000000) AS a, repeat('y', 1000) AS b")
    show("a row of 30 MB", len(row["a"]), len(row["b"]))
    seen = size = 0
    async with conn.transaction():
        async for row in conn.cursor("SELECT n, repeat(md5(n::text), 30) FROM generate_series(1, 30000) n", prefetch=1000):
            seen, size = seen + 1, size + len(row[1])
            if seen % 3000 == 0:
                await asyncio.sleep(0.02)
    show("read slowly", seen, size)
    await conn.close()


@section
async def a_pool(uri):
    settings = {"search_path": f"{SCHEMA},public"}
    failures, sums = [], []

    async def work(pool, worker):
        for n in range(40):
            async with pool.acquire() as conn:
                found = tuple(await conn.fetchrow(
                    "SELECT current_setting('search_path'), coalesce(current_setting('app.tenant', true), ''), "
                    "current_setting('work_mem')"))
                if found != (f"{SCHEMA},public", "", "4MB"):
                    failures.append(found)
                await conn.execute(f"SET app.tenant = 'worker {worker}'; SET work_mem = '{worker + 5}MB'")
                sums.append(await conn.fetchval("SELECT id FROM item WHERE id = $1", n + 1))
                if n % 10 == 0:
                    await conn.fetchval("SELECT pg_advisory_lock($1)", worker)
                    await conn.execute("LISTEN gossip")
                seen = await conn.fetchval("SELECT current_setting('app.tenant')")
                if seen != f"worker {worker}":
                    failures.append(("lost", seen))

    async with asyncpg.create_pool(uri, min_size=2, max_size=5, server_settings=settings, timeout=10) as pool:
        await asyncio.gather(*[work(pool, worker) for worker in range(10)])
        show("its own reset query", sum(sums), len(sums), len(failures), sorted(set(failures))[:5])
        show("locks left", await pool.fetchval(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = "
            "(SELECT oid FROM pg_database WHERE datname = current_database())"))
        await pool.executemany("INSERT INTO log (what) VALUES ($1)", [("pool",)] * 5)
        show("through the pool", await pool.fetchval("SELECT count(*) FROM log WHERE what = 'pool'"))


main()
