"""psycopg: what one connection does, statement by statement."""

import time

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from psycopg_common import attempt, refused
from transcript import SETUP, TEXT_TYPES, TYPES, main, rows, section, show

SCHEMA = "psycopg_statements"


def connect(uri, **keys):
    keys.setdefault("options", f"-c search_path={SCHEMA},public")
    return psycopg.connect(uri, **keys)


@section
def setting_up(uri):
    with psycopg.connect(uri, autocommit=True) as conn:
        cur = conn.execute(SETUP.format(schema=SCHEMA))
        show("last of several results", cur.statusmessage)
        results = 1
        while cur.nextset():
            results += 1
        show("results of one message", results, cur.statusmessage)


@section
def simple_queries(uri):
    with connect(uri, autocommit=True, cursor_factory=psycopg.ClientCursor) as conn:
        cur = conn.execute("SELECT id, name, price FROM item WHERE id < %s ORDER BY id", [4])
        rows("select", cur.fetchall())
        show("columns", [(c.name, c.type_code, c.internal_size, c.precision) for c in cur.description])
        for text in ["", ";", "-- nothing", "VALUES (1), (2)", "TABLE item LIMIT 1", "SELECT"]:
            cur = conn.execute(text)
            show(repr(text), cur.statusmessage, cur.rowcount)
        cur = conn.execute("INSERT INTO log (what) VALUES ('a'), ('b') RETURNING what")
        rows(cur.statusmessage, cur.fetchall())
        cur = conn.execute("UPDATE log SET what = what || '!'")
        show(cur.statusmessage, cur.rowcount)
        cur = conn.execute("SELECT 1 AS one; INSERT INTO log (what) VALUES ('c'); SELECT count(*) FROM log")
        found = []
        while True:
            found.append((cur.statusmessage, cur.fetchall() if cur.description else None))
            if not cur.nextset():
                break
        show("several in one message", found)
        attempt("error in the middle of a message", lambda: conn.execute(
            "INSERT INTO log (what) VALUES ('lost'); SELECT 1/0; INSERT INTO log (what) VALUES ('never')"))
        show("was rolled back", conn.execute("SELECT count(*) FROM log").fetchone())
        show("in recovery", conn.execute("SELECT pg_is_in_recovery()").fetchone())
        show("read only", conn.execute("SHOW transaction_read_only").fetchone())


@section
def parameterised_queries(uri):
    with connect(uri, autocommit=True) as conn:
        cur = conn.execute("SELECT id, name FROM item WHERE id = ANY(%s) ORDER BY id DESC", [[3, 5, 7]])
        rows("list", cur.fetchall())
        cur = conn.execute("SELECT %(a)s::int + %(b)s, %(c)s::text", {"a": 1, "b": 2, "c": None})
        show("named places", cur.fetchone())
        cur = conn.execute("INSERT INTO log (what) VALUES (%s) RETURNING what", ["it's"])
        show(cur.statusmessage, cur.fetchone())
        show("seen by the next read", conn.execute(
            "SELECT count(*) FROM log WHERE what = %s", ["it's"]).fetchone())
        cur = conn.execute(sql.SQL("SELECT {} FROM {} ORDER BY 1 LIMIT 2").format(
            sql.Identifier("name"), sql.Identifier(SCHEMA, "item")))
        show("composed", cur.fetchall())
        with conn.cursor(row_factory=dict_row) as cur:
            show("as mapping", cur.execute("SELECT * FROM item WHERE id = %s", [9]).fetchone())
        attempt("several with parameters", lambda: conn.execute("SELECT %s; SELECT 2", [1]))


@section
def types(uri):
    with connect(uri, autocommit=True) as conn:
        for kind, values in TYPES + TEXT_TYPES:
            for value in values:
                found = []
                for binary in (False, True):
                    with conn.cursor(binary=binary) as cur:
                        statement = f"SELECT %s::{kind} AS v, pg_typeof(%s::{kind})::text AS t, %s::{kind}::text"
                        cur.execute(statement, [value] * 3)
                        found.append(cur.fetchone())
                show(kind, *found)
        show("null of each", conn.execute("SELECT " + ", ".join(
            f"NULL::{kind}" for kind, _ in TYPES)).fetchone())


@section
def prepared_statements(uri):
    with connect(uri, autocommit=True) as conn:
        total = 0
        for n in range(300):
            total += conn.execute("SELECT id * 2 FROM item WHERE id = %s", [n % 100 + 1], prepare=True).fetchone()[0]
        show("one named statement 300 times", total)
        conn.prepare_threshold = 0
        for n in range(150):
            conn.execute(f"SELECT {n} + %s::int", [n])
        show("more named statements than psycopg keeps", conn.execute("SELECT 149 + %s::int", [1]).fetchone())
        for n in range(60):
            conn.execute("INSERT INTO log (what) VALUES (%s)", [f"p{n}"], prepare=True)
            found = conn.execute("SELECT count(*) FROM log WHERE what LIKE %s", ["p%"], prepare=True).fetchone()
            if found[0] != n + 1:
                show("a read in turn with a write was stale", n, found)
        show("in turns", found)
        conn.prepare_threshold = None
        for n in range(50):
            conn.execute("SELECT %s::text", [str(n)])
        show("unnamed 50 times", conn.execute("SELECT %s::text", ["end"]).fetchone())
    with connect(uri, autocommit=True) as conn:
        for _ in range(3):
            conn.execute("CREATE TEMP TABLE IF NOT EXISTS shape (a int)")
        conn.execute("INSERT INTO shape VALUES (1)")
        show("before", conn.execute("SELECT * FROM shape WHERE a = %s", [1], prepare=True).fetchall())
        conn.execute("ALTER TABLE shape ADD COLUMN b text DEFAULT 'new'")
        attempt("a plan whose result type changed",
                lambda: conn.execute("SELECT * FROM shape WHERE a = %s", [1], prepare=True).fetchall())
        conn.execute("DEALLOCATE ALL")
        show("DISCARD ALL", conn.execute("DISCARD ALL").statusmessage)


@section
def prepared_around_a_change(uri):
    asked = "SELECT * FROM changing WHERE a = %s"
    with connect(uri, autocommit=True) as one, connect(uri, autocommit=True) as two:
        one.execute("CREATE TABLE changing AS SELECT 1 AS a")
        show("before", one.execute(asked, [1], prepare=True).fetchall())
        with two.transaction(force_rollback=True):
            two.execute("ALTER TABLE changing ADD COLUMN b int DEFAULT 2")
            show("inside", two.execute(asked, [1], prepare=True).fetchall())
        show("rolled back", one.execute(asked, [1], prepare=True).fetchall())
        two.execute("ALTER TABLE changing ADD COLUMN c int DEFAULT 3")
        show("prepared afterwards", connect_and(uri, lambda new: new.execute(asked, [1], prepare=True).fetchall()))
        attempt("prepared before", lambda: one.execute(asked, [1], prepare=True).fetchall())


def connect_and(uri, action):
    with connect(uri, autocommit=True) as conn:
        return action(conn)


@section
def many(uri):
    with connect(uri, autocommit=True) as conn:
        cur = conn.cursor()
        cur.executemany("INSERT INTO log (what) VALUES (%s)", [(f"many {n}",) for n in range(500)])
        show("executemany", cur.rowcount, conn.execute("SELECT count(*) FROM log WHERE what LIKE 'many%'").fetchone())
        cur.executemany("INSERT INTO log (what) VALUES (%s) RETURNING what", [("r1",), ("r2",)], returning=True)
        found = []
        while True:
            found.append(cur.fetchone())
            if not cur.nextset():
                break
        show("returning", found)
        cur.executemany("SELECT name FROM item WHERE id = %s", [(1,), (2,), (3,)], returning=True)
        show("of reads", [result.fetchone() for result in cur.results()])
        attempt("an error in the middle", lambda: cur.executemany(
            "INSERT INTO item VALUES (%s, 'x', %s)", [(201, 1), (202, -1), (203, 1)]))
        rows("what of it stayed", conn.execute("SELECT * FROM item WHERE id > 200").fetchall())


@section
def pipelines(uri):
    with connect(uri, autocommit=True) as conn:
        with conn.pipeline():
            cursors = [conn.execute("SELECT name FROM item WHERE id = %s", [n]) for n in range(1, 101)]
        show("a hundred reads", [c.fetchone()[0] for c in cursors][::25])
        with conn.pipeline() as pipe:
            write = conn.execute("INSERT INTO log (what) VALUES ('piped') RETURNING what")
            read = conn.execute("SELECT count(*) FROM log WHERE what = 'piped'")
            pipe.sync()
            late = conn.execute("SELECT %s::text", ["after"])
        show("write, then read", write.fetchone(), read.fetchone(), late.fetchone())
        try:
            with conn.pipeline():
                conn.execute("INSERT INTO log (what) VALUES ('with an error')")
                conn.execute("SELECT 1/%s::int", [0])
                conn.execute("SELECT 2")
        except psycopg.Error as error:
            refused("an error in a pipeline", error)
        show("all of it was undone", conn.execute("SELECT count(*) FROM log WHERE what = 'with an error'").fetchone())
        try:
            with conn.pipeline() as pipe:
                conn.execute("INSERT INTO log (what) VALUES ('before a Sync')")
                pipe.sync()
                conn.execute("SELECT 1/%s::int", [0])
        except psycopg.Error as error:
            refused("an error behind a Sync", error)
        show("what was before it stays", conn.execute("SELECT count(*) FROM log WHERE what = 'before a Sync'").fetchone())
        with conn.pipeline(), conn.transaction():
            conn.execute("INSERT INTO log (what) VALUES ('t1')")
            conn.execute("INSERT INTO log (what) VALUES ('t2')")
        show("transaction in a pipeline", conn.execute("SELECT count(*) FROM log WHERE what IN ('t1','t2')").fetchone())


@section
def cursors(uri):
    with connect(uri) as conn:
        with conn.cursor(name="plain") as cur:
            cur.itersize = 7
            cur.execute("SELECT id FROM item ORDER BY id")
            show("fetched in sevens", sum(row[0] for row in cur))
        with conn.cursor(name="both", scrollable=True) as cur:
            cur.execute("SELECT id FROM item ORDER BY id")
            cur.scroll(50)
            there = cur.fetchone()
            cur.scroll(-10)
            show("scrolled", there, cur.fetchmany(3))
            attempt("past the end", lambda: cur.scroll(1000, mode="absolute") or cur.fetchone())
    with connect(uri, autocommit=True) as conn:
        with conn.cursor(name="held", withhold=True) as cur:
            cur.execute("SELECT id FROM item ORDER BY id DESC")
            first = cur.fetchmany(2)
            conn.execute("SELECT count(*) FROM item")
            show("held beyond its transaction", first, cur.fetchmany(2))
        attempt("without a transaction", lambda: conn.cursor(name="none").execute("SELECT 1"))


@section
def large_things(uri):
    with connect(uri, autocommit=True) as conn:
        blob = bytes(range(256)) * 65536
        with conn.cursor(binary=True) as cur:
            back = cur.execute("SELECT %s::bytea", [psycopg.Binary(blob)]).fetchone()[0]
        show("a parameter of 16 MiB comes back", back == blob)
        row = conn.execute("SELECT repeat('x', 30000000), repeat('y', 1000)").fetchone()
        show("a row of 30 MB", len(row[0]), set(row[0]), len(row[1]))
        seen, size = 0, 0
        cur = conn.cursor()
        for row in cur.stream("SELECT n, repeat(md5(n::text), 30) FROM generate_series(1, 40000) n"):
            seen, size = seen + 1, size + len(row[1])
            if seen % 2000 == 0:
                time.sleep(0.02)
        show("a large result read slowly", seen, size)
        found = conn.execute("SELECT n, n % 7 FROM generate_series(1, 100000) n").fetchall()
        show("many small rows", len(found), sum(a * b for a, b in found))


@section
def copy(uri):
    with connect(uri, autocommit=True) as conn:
        conn.execute("CREATE TABLE copied (id int PRIMARY KEY, word text)")
        cur = conn.cursor()
        with cur.copy("COPY copied FROM STDIN") as copy:
            for n in range(10000):
                copy.write_row((n, None if n % 10 == 0 else f"w\t{n}"))
        show(cur.statusmessage, conn.execute("SELECT count(*), count(word) FROM copied").fetchone())
        with cur.copy("COPY (SELECT * FROM copied ORDER BY id) TO STDOUT") as copy:
            data = b"".join(copy)
        show("out", cur.statusmessage, len(data), data[:20])
        with cur.copy("COPY (SELECT * FROM copied ORDER BY id LIMIT 3) TO STDOUT (FORMAT binary)") as copy:
            copy.set_types(["int4", "text"])
            rows("out in binary", list(copy.rows()))
        with cur.copy("COPY copied FROM STDIN (FORMAT binary)") as copy:
            copy.set_types(["int4", "text"])
            copy.write_row((20000, "binary"))
        show("in in binary", conn.execute("SELECT * FROM copied WHERE id = 20000").fetchone())

        def broken(lines):
            with cur.copy("COPY copied FROM STDIN") as copy:
                for line in lines:
                    copy.write(line)

        attempt("a bad row in the middle", lambda: broken(
            [f"{n}\tx\n" for n in range(30000, 31000)] + ["bad\tx\n"] + [f"{n}\tx\n" for n in range(31000, 90000)]))
        attempt("a duplicate", lambda: broken(["1\tx\n"]))

        def given_up():
            with cur.copy("COPY copied FROM STDIN") as copy:
                copy.write("40000\tx\n")
                raise psycopg.DataError("the application has changed its mind")

        attempt("the client gives up", given_up)

        def received(statement):
            with cur.copy(statement) as copy:
                return sum(len(part) for part in copy)

        attempt("an error while it is sent", lambda: received(
            "COPY (SELECT 10 / (5000 - id) FROM copied ORDER BY id) TO STDOUT"))
        attempt("no such table", lambda: received("COPY nowhere TO STDOUT"))
    with connect(uri, autocommit=True) as conn:
        cur = conn.cursor()
        try:
            with cur.copy("COPY (SELECT * FROM generate_series(1, 1000000)) TO STDOUT") as copy:
                show("the first row", bytes(copy.read())[:2])
                raise StopIteration
        except StopIteration:
            show("left early", conn.info.transaction_status.name)
        show("still usable", cur.execute("SELECT count(*) FROM copied").fetchone())


main()
