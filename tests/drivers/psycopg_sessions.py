"""psycopg: connections, transactions, and what lives as long as a session."""

import threading

import psycopg
from psycopg import IsolationLevel
from psycopg.conninfo import make_conninfo
from psycopg_pool import ConnectionPool

from psycopg_common import attempt, refused
from transcript import SETUP, main, rows, section, show

SCHEMA = "psycopg_sessions"
OPTIONS = f"-c search_path={SCHEMA},public"


def connect(uri, **keys):
    keys.setdefault("options", OPTIONS)
    return psycopg.connect(uri, **keys)


@section
def setting_up(uri):
    with psycopg.connect(uri, autocommit=True) as conn:
        conn.execute(SETUP.format(schema=SCHEMA))
        show("ready", conn.execute("SELECT count(*) FROM item").fetchone())


REPORTED = ["application_name", "client_encoding", "DateStyle", "default_transaction_read_only", "in_hot_standby",
            "integer_datetimes", "IntervalStyle", "is_superuser", "server_encoding", "server_version",
            "session_authorization", "standard_conforming_strings", "TimeZone", "search_path"]


@section
def connecting(uri):
    parameters = [
        {}, {"application_name": "my app"}, {"fallback_application_name": "fallback"},
        {"client_encoding": "LATIN1"}, {"connect_timeout": "5"}, {"gssencmode": "disable"},
        {"gssencmode": "prefer"}, {"sslmode": "disable"}, {"sslmode": "prefer"}, {"sslmode": "allow"},
        {"channel_binding": "disable"}, {"channel_binding": "prefer"}, {"keepalives_idle": "30"},
        {"target_session_attrs": "any"}, {"target_session_attrs": "read-write"},
        {"target_session_attrs": "primary"}, {"target_session_attrs": "prefer-standby"},
        {"load_balance_hosts": "random"}, {"require_auth": "scram-sha-256"}, {"tcp_user_timeout": "5000"},
        {"options": "-c statement_timeout=7s -c work_mem=5MB"}, {"options": "-c DateStyle=German,DMY"},
        {"options": "-c timezone=Asia/Tokyo -c default_transaction_isolation=serializable"},
        {"options": "-csearch_path=public --work_mem=6MB"}, {"options": "-c my.setting=a\\ b"},
        {"options": "-c default_transaction_read_only=on"},
    ]
    for keys in parameters:
        with psycopg.connect(uri, autocommit=True, **keys) as conn:
            asked = "SELECT current_user, session_user, current_database(), {}"
            names = ["application_name", "client_encoding", "statement_timeout", "work_mem", "DateStyle", "TimeZone",
                     "search_path", "default_transaction_isolation", "default_transaction_read_only"]
            found = conn.execute(asked.format(", ".join(f"current_setting('{name}')" for name in names))).fetchone()
            show(keys, found)
            show("custom", conn.execute("SELECT current_setting('my.setting', true)").fetchone())
            show("reported", [conn.info.parameter_status(name) for name in REPORTED])
            show("of the connection", conn.info.server_version, conn.info.encoding, conn.info.transaction_status.name,
                 conn.pgconn.ssl_in_use, conn.pgconn.used_password, conn.info.backend_pid > 0)
    wrong = [
        {"password": "wrong"}, {"password": ""}, {"user": "nobody_of_that_name"}, {"dbname": "no_such_database"},
        {"options": "-c no_such_setting=1"}, {"options": "-c work_mem=plenty"},
        {"sslmode": "require"}, {"target_session_attrs": "standby"}, {"client_encoding": "KLINGON"},
    ]
    for keys in wrong:
        try:
            psycopg.connect(make_conninfo(uri, passfile="/nonexistent", **keys)).close()
            show(keys, "connected")
        except psycopg.Error as error:
            show(keys, type(error).__name__, error.sqlstate, str(error))


@section
def settings(uri):
    with connect(uri, autocommit=True) as conn:
        def asked(name):
            return conn.execute(f"SHOW {name}").fetchone()[0], conn.info.parameter_status(name)

        conn.execute("SET application_name = 'changed'; SET TimeZone = 'America/New_York'")
        show("SET", asked("application_name"), asked("TimeZone"))
        show("of a time", conn.execute("SELECT '2024-07-01 12:00+00'::timestamptz").fetchone())
        conn.execute("RESET application_name")
        show("RESET", asked("application_name"))
        with conn.transaction(force_rollback=True):
            conn.execute("SET TimeZone = 'Asia/Tokyo'")
            show("in a transaction", asked("TimeZone"))
        show("rolled back", asked("TimeZone"))
        with conn.transaction():
            conn.execute("SET LOCAL work_mem = '9MB'")
            show("LOCAL", asked("work_mem"))
        show("after it", asked("work_mem"))
        conn.execute("SELECT set_config('app.tenant', %s, false)", ["seven"])
        show("set_config", conn.execute("SELECT current_setting('app.tenant')").fetchone())
        conn.execute("SET standard_conforming_strings = off")
        show("strings", asked("standard_conforming_strings"), conn.execute(r"SELECT 'a\\b', E'a\\b'").fetchone())
        conn.execute("RESET ALL")
        show("RESET ALL", asked("TimeZone"), asked("search_path"), asked("standard_conforming_strings"))
        conn.execute("SET search_path = pg_catalog")
        attempt("another path", lambda: conn.execute("SELECT count(*) FROM item"))
        conn.execute("DISCARD ALL")
        show("DISCARD ALL", asked("search_path"), conn.execute("SELECT count(*) FROM item").fetchone())
        attempt("no such setting", lambda: conn.execute("SET no_such_setting = 1"))
        attempt("no such value", lambda: conn.execute("SET work_mem = 'plenty'"))


@section
def resetting(uri):
    # Behind a pool these meet connections that were opened with another client's parameters.
    starts = ["-c work_mem=5MB", "-c work_mem=6MB -c search_path=pg_catalog", "", "-c app.tenant=seven"]
    asked = "SELECT current_setting('work_mem'), current_setting('search_path') FROM pg_notify('nobody', 'listens')"
    for start in starts * 2:
        for text in ["RESET work_mem", "RESET ALL", "DISCARD ALL", "SET work_mem TO DEFAULT", "SET search_path = DEFAULT",
                     "SELECT set_config('work_mem', NULL, false)"]:
            with psycopg.connect(uri, autocommit=True, options=start) as conn:
                conn.execute("SET work_mem = '9MB'; SET search_path = public")
                conn.execute(text)
                show(text, conn.execute(asked).fetchone(), conn.execute("SHOW work_mem").fetchone())
        with psycopg.connect(uri, autocommit=True, options=start) as conn, conn.transaction():
            conn.execute("SET work_mem = '9MB'")
            conn.execute("RESET ALL")
            show("in a transaction", conn.execute(asked).fetchone())


@section
def transactions(uri):
    with connect(uri) as conn:
        conn.execute("INSERT INTO log (what) VALUES ('kept')")
        show("status", conn.info.transaction_status.name)
        conn.commit()
        conn.execute("INSERT INTO log (what) VALUES ('dropped')")
        conn.rollback()
        show("kept and dropped", conn.execute("SELECT what FROM log ORDER BY id").fetchall())
        attempt("an error", lambda: conn.execute("SELECT * FROM missing"))
        show("status", conn.info.transaction_status.name)
        attempt("after the error", lambda: conn.execute("SELECT 1"))
        conn.rollback()
        show("again", conn.execute("SELECT 1").fetchone())
    with connect(uri, autocommit=True) as conn:
        with conn.transaction():
            conn.execute("INSERT INTO log (what) VALUES ('outer')")
            try:
                with conn.transaction() as inner:
                    conn.execute("INSERT INTO log (what) VALUES ('inner')")
                    conn.execute("SELECT 1/0")
            except psycopg.Error as error:
                refused("in a savepoint", error)
            with conn.transaction("named") as inner:
                conn.execute("INSERT INTO log (what) VALUES ('named')")
                show("savepoint", inner.savepoint_name)
            show("seen inside", conn.execute("SELECT what FROM log ORDER BY id").fetchall())
            with conn.transaction():
                conn.execute("INSERT INTO log (what) VALUES ('undone')")
                raise psycopg.Rollback
        rows("after it", conn.execute("SELECT what FROM log ORDER BY id").fetchall())
        with conn.transaction():
            pass
        show("an empty one", conn.info.transaction_status.name)
        for text in ["BEGIN", "BEGIN", "SAVEPOINT a", "ROLLBACK TO a", "RELEASE a", "ROLLBACK TO a", "COMMIT", "COMMIT"]:
            try:
                show(text, conn.execute(text).statusmessage, conn.info.transaction_status.name)
            except psycopg.Error as error:
                refused(text, error)
        conn.execute("BEGIN; SET CONSTRAINTS ALL DEFERRED; INSERT INTO part VALUES (1, 999)")
        attempt("an error at COMMIT", lambda: conn.execute("COMMIT"))
        show("nothing of it", conn.execute("SELECT count(*) FROM part").fetchone())
        attempt("SERIALIZABLE after a query", lambda: conn.execute(
            "BEGIN; SELECT 1; SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"))
        conn.execute("ROLLBACK")


@section
def isolation(uri):
    for level in IsolationLevel:
        for read_only in (None, True):
            with connect(uri) as conn:
                conn.isolation_level, conn.read_only = level, read_only
                show(level.name, read_only, conn.execute(
                    "SELECT current_setting('transaction_isolation'), current_setting('transaction_read_only'),"
                    " (SELECT count(*) FROM item)").fetchone())
                if read_only:
                    attempt("a write", lambda: conn.execute("INSERT INTO log (what) VALUES ('x')"))
    with connect(uri) as one, connect(uri) as two:
        one.isolation_level = two.isolation_level = IsolationLevel.REPEATABLE_READ
        show("snapshot", one.execute("SELECT price FROM item WHERE id = 1").fetchone())
        two.execute("UPDATE item SET price = 99 WHERE id = 1")
        two.commit()
        show("unchanged", one.execute("SELECT price FROM item WHERE id = 1").fetchone())
        attempt("lost the race", lambda: one.execute("UPDATE item SET price = 98 WHERE id = 1"))
        one.rollback()
        show("changed", one.execute("SELECT price FROM item WHERE id = 1").fetchone())
    with connect(uri) as one, connect(uri) as two:
        one.isolation_level = two.isolation_level = IsolationLevel.SERIALIZABLE
        for conn, own, other in ((one, 10, 20), (two, 20, 10)):
            conn.execute("SELECT price FROM item WHERE id = %s", [other]).fetchone()
            conn.execute("UPDATE item SET price = price + 1 WHERE id = %s", [own])
        one.commit()
        attempt("write skew", two.commit)
    with connect(uri, autocommit=True) as conn:
        conn.execute("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE")
        show("characteristics", conn.execute("SHOW transaction_isolation").fetchone())
        attempt("a write", lambda: conn.execute("INSERT INTO log (what) VALUES ('x')"))
        show("a read", conn.execute("SELECT count(*) FROM item").fetchone())


@section
def two_phases(uri):
    with connect(uri) as conn:
        xid = conn.xid(1, "psycopg", conn.info.dbname)
        conn.tpc_begin(xid)
        conn.execute("INSERT INTO log (what) VALUES ('prepared')")
        conn.tpc_prepare()
        conn.tpc_commit()
        show("two phases", conn.execute("SELECT count(*) FROM log WHERE what = 'prepared'").fetchone())


def cancelled(conn, action):
    """Cancels again and again until the statement has ended: it may not have begun at the first attempt."""
    ended = threading.Event()

    def insist():
        while not ended.wait(0.05):
            conn.cancel_safe(timeout=5)

    thread = threading.Thread(target=insist)
    thread.start()
    try:
        return action()
    finally:
        ended.set()
        thread.join()


@section
def cancel_and_time_out(uri):
    with connect(uri, autocommit=True) as conn:
        sleep = "SELECT pg_sleep(30)"
        for text in (sleep, "SELECT count(*) FROM generate_series(1, 3000000000) n"):
            attempt("cancel", lambda: cancelled(conn, lambda: conn.execute(text)))
            show("afterwards", conn.execute("SELECT 1").fetchone())
        with conn.transaction(force_rollback=True):
            conn.execute("INSERT INTO log (what) VALUES ('cancelled')")
            attempt("in a transaction", lambda: cancelled(conn, lambda: conn.execute(sleep)))
            show("status", conn.info.transaction_status.name)
        conn.cancel_safe()
        show("of nothing", conn.execute("SELECT 1").fetchone())
        conn.execute("SET statement_timeout = '100ms'")
        attempt("time-out", lambda: conn.execute(sleep))
        attempt("time-out of a read", lambda: conn.execute("SELECT count(*) FROM generate_series(1, 3000000000) n"))
        conn.execute("SET statement_timeout = 0")
        show("without", conn.execute("SELECT 1 FROM pg_sleep(0.2)").fetchone())
    with connect(uri, autocommit=True) as one, connect(uri, autocommit=True) as two:
        with one.transaction():
            one.execute("LOCK TABLE part")
            two.execute("SET lock_timeout = '100ms'")
            attempt("lock time-out", lambda: two.execute("SELECT * FROM part FOR UPDATE"))
            attempt("NOWAIT", lambda: two.execute("LOCK TABLE part NOWAIT"))
    with connect(uri) as conn:
        conn.execute("SET idle_in_transaction_session_timeout = '100ms'")
        conn.commit()
        conn.execute("SELECT 1")
        attempt("idle in a transaction", lambda: idle(conn))


def idle(conn):
    """Waits for the server's word that the transaction was idle too long."""
    for _ in conn.notifies(timeout=10):
        pass
    return conn.execute("SELECT 1").fetchone()


@section
def notices(uri):
    with connect(uri, autocommit=True) as conn:
        heard = []
        conn.add_notice_handler(lambda diag: heard.append(
            (diag.severity, diag.sqlstate, diag.message_primary, diag.message_detail, diag.message_hint)))
        conn.execute("DO $$ BEGIN RAISE NOTICE 'n %', 1; RAISE WARNING 'w' USING DETAIL = 'd', HINT = 'h'; END $$")
        conn.execute("DROP TABLE IF EXISTS never_was")
        conn.execute("SET client_min_messages = debug1")
        conn.execute("CREATE TEMP TABLE told (id int PRIMARY KEY)")
        conn.execute("SET client_min_messages = error")
        conn.execute("DO $$ BEGIN RAISE NOTICE 'unheard'; END $$")
        conn.execute("COMMIT")
        rows("notices", heard)
        attempt("an error of its own", lambda: conn.execute(
            "DO $$ BEGIN RAISE EXCEPTION 'mine' USING ERRCODE = 'P1234', DETAIL = 'd', HINT = 'h', COLUMN = 'c'; END $$"))


@section
def listening(uri):
    with connect(uri, autocommit=True) as listener, connect(uri, autocommit=True) as speaker:
        listener.execute("LISTEN news")
        for n in range(3):
            speaker.execute("SELECT pg_notify('news', %s)", [f"item {n}"])
        speaker.execute("NOTIFY other, 'unheard'")
        heard = list(listener.notifies(timeout=10, stop_after=3))
        rows("notifications", [(n.channel, n.payload) for n in heard])
        speaker.execute("BEGIN; NOTIFY news, 'late'; COMMIT")
        listener.execute("SELECT count(*) FROM item")
        heard = list(listener.notifies(timeout=10, stop_after=1))
        rows("of a transaction", [(n.channel, n.payload) for n in heard])
        listener.execute("NOTIFY news, 'to myself'")
        rows("to itself", [(n.channel, n.payload) for n in listener.notifies(timeout=10, stop_after=1)])
        listener.execute("UNLISTEN *")
        speaker.execute("NOTIFY news, 'unheard'")
        rows("no more", list(listener.notifies(timeout=0.3)))


@section
def state_of_a_session(uri):
    with connect(uri, autocommit=True) as one, connect(uri, autocommit=True) as two:
        one.execute("CREATE TEMP TABLE mine (a int); INSERT INTO mine VALUES (1)")
        attempt("another's temporary table", lambda: two.execute("SELECT * FROM mine"))
        show("its own", one.execute("SELECT * FROM mine").fetchall())
        show("advisory lock", one.execute("SELECT pg_try_advisory_lock(77)").fetchone(),
             two.execute("SELECT pg_try_advisory_lock(77)").fetchone())
        one.execute("SELECT pg_advisory_unlock_all()")
        show("unlocked", two.execute("SELECT pg_try_advisory_lock(77), pg_advisory_unlock(77)").fetchone())
        one.execute("PREPARE mine_too (int) AS SELECT $1 + 1")
        show("EXECUTE", one.execute("EXECUTE mine_too(41)").fetchone())
        attempt("another's EXECUTE", lambda: two.execute("EXECUTE mine_too(41)"))
        attempt("currval before nextval", lambda: one.execute("SELECT currval('log_id_seq')"))
        inserted = one.execute("INSERT INTO log (what) VALUES ('s') RETURNING id").fetchone()
        show("currval", one.execute("SELECT currval('log_id_seq')").fetchone() == inserted)


@section
def a_pool(uri):
    def reset(conn):
        conn.execute("DISCARD ALL")

    def configure(conn):
        conn.autocommit = True

    keys = {"options": OPTIONS}
    with ConnectionPool(uri, kwargs=keys, min_size=2, max_size=4, configure=configure, reset=reset,
                        check=ConnectionPool.check_connection, timeout=10) as pool:
        failures, sums = [], []

        def work(worker):
            try:
                for n in range(40):
                    with pool.connection() as conn:
                        path, tenant, role = conn.execute(
                            "SELECT current_setting('search_path'), current_setting('app.tenant', true),"
                            " current_setting('work_mem')").fetchone()
                        if (path, tenant or "", role) != (f"{SCHEMA},public", "", "4MB"):
                            failures.append((path, tenant, role))
                        conn.execute(f"SET app.tenant = 'worker {worker}'; SET work_mem = '{worker + 5}MB'")
                        sums.append(conn.execute("SELECT id FROM item WHERE id = %s", [n + 1], prepare=True).fetchone()[0])
                        seen = conn.execute("SELECT current_setting('app.tenant')").fetchone()[0]
                        if seen != f"worker {worker}":
                            failures.append(("lost", seen))
            except psycopg.Error as error:
                failures.append((type(error).__name__, error.sqlstate, str(error)))

        workers = [threading.Thread(target=work, args=[number]) for number in range(8)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        show("a pool with DISCARD ALL", sum(sums), len(sums), len(failures), sorted(set(failures))[:5])


main()
