"""Where it runs: a cluster and a pgsplit of its own, or a pgsplit that runs already."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import urllib.request
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from ground import LIMIT, MIGRATIONS, TARGET, Trouble, build, cluster, end, free_port, until

SETTINGS = ["shared_preload_libraries=pg_stat_statements", "pg_stat_statements.max=10000", "shared_buffers=256MB"]


@dataclass
class Place:
    """A pgsplit, and the servers behind it where they are known."""

    host: str
    port: int
    user: str
    password: str
    database: str
    http: str | None = None
    binaries: str = ""
    nodes: tuple = ()  # (name, port), the primary first
    superuser: str = ""
    config: Path | None = None  # of a pgsplit of our own, as what follows
    admin: int = 0

    def uri(self, port=None, database=None):
        return f"postgresql://{self.user}:{self.password}@{self.host}:{port or self.port}/{database or self.database}"

    def program(self, name):
        return f"{self.binaries}{name}" if self.binaries else shutil.which(name) or name

    def environment(self, port=None, user=None, password=None):
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        names = {"PGHOST": self.host, "PGPORT": str(port or self.port), "PGDATABASE": self.database}
        return clean | names | {"PGUSER": user or self.user, "PGPASSWORD": password or self.password}

    def psql(self, *arguments, text=None, limit=LIMIT, **login):
        command = [self.program("psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", *arguments]
        environment = self.environment(**login) | {"PGOPTIONS": "-c client_min_messages=warning"}
        try:
            done = subprocess.run(command, input=text, env=environment, capture_output=True, text=True, timeout=limit)
        except FileNotFoundError as missing:
            raise Trouble(f"{command[0]} is missing") from missing
        except subprocess.TimeoutExpired as hung:
            raise Trouble(f"psql did not end within {limit} s") from hung
        if done.returncode:
            raise Trouble(f"psql: {done.stderr.strip()}")
        return done.stdout

    def metrics(self):
        """All samples, by name with labels."""
        if not self.http:
            return {}
        try:
            with urllib.request.urlopen(f"http://{self.http}/metrics", timeout=10) as answer:
                lines = answer.read().decode().splitlines()
        except OSError as error:
            raise Trouble(f"no metrics from {self.http}: {error}") from error
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[:1] != "#")}

    def on_nodes(self, sql):
        """The query's output by node."""
        login = {"user": "postgres", "password": self.superuser}
        return {name: self.psql("-c", sql, port=port, **login) for name, port in self.nodes}

    def forget_statements(self):
        self.on_nodes("SELECT pg_stat_statements_reset()")

    def statements_by_action(self):
        """How many statements of each script each node has run, by the tag `action` in their comments."""
        found = {}
        for node, lines in self.on_nodes("SELECT calls, replace(query, E'\\n', ' ') FROM pg_stat_statements").items():
            found[node] = Counter()
            for line in lines.splitlines():
                calls, _, text = line.partition("|")
                if action := re.search(r"action='(\w+)'[^*]*\*/\s*$", text):
                    found[node][action[1]] += int(calls)
        return found


def running(asked):
    """The pgsplit that the command line names."""
    password = os.environ.get("PGPASSWORD", "")
    return Place(asked.host, asked.port, asked.user, password, asked.database, asked.http)


def started(asked, stack):
    """A cluster and a pgsplit of our own, which end with `stack`."""
    if not asked.pgsplit:
        build("--release", "-p", "pgsplit")
    found = cluster(stack, settings=SETTINGS)
    ports = [int(port) for port in found["PG_PORTS"].split()]
    nodes = tuple((f"db{number}", port) for number, port in enumerate(ports, 1))
    place = Place("127.0.0.1", free_port(), "app", found["PG_APP_PASSWORD"], "app")
    place.http, place.admin, place.binaries = f"127.0.0.1:{free_port()}", free_port(), found["PG_BINDIR"]
    place.nodes, place.superuser = nodes, found["PG_POSTGRES_PASSWORD"]
    make = "CREATE EXTENSION pg_stat_statements"
    place.psql("-c", make, port=ports[0], user="postgres", password=place.superuser)
    proxy(asked, place, found["PG_PGSPLIT_PASSWORD"], stack)
    return place


def proxy(asked, place, password, stack):
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pgsplit-marketplace-")))
    nodes = "".join(f'[[nodes]]\nname = "{name}"\naddress = "127.0.0.1:{port}"\n' for name, port in place.nodes)
    rules = f"[routing]{Path(asked.config).read_text().partition('[routing]')[2]}" if asked.config else ""
    config = directory / "pgsplit.toml"
    config.write_text(
        f'listen = "127.0.0.1:{place.port}"\nhttp = "{place.http}"\n'
        f'admin = "127.0.0.1:{place.admin}"\nadmin_users = ["{place.user}"]\n'
        f'state_file = "{directory}/state"\n{nodes}[auth]\nuser = "pgsplit"\npassword = "{password}"\n{rules}'
    )
    log = directory / "log"
    with log.open("w") as output:
        command = [asked.pgsplit or TARGET / "release/pgsplit", "run", "-c", config]
        child = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
    place.config = config
    stack.callback(end, child, lambda: child.send_signal(signal.SIGTERM))
    until("pgsplit's start", lambda: sees_all(place, child, log))


def sees_all(place, child, log):
    """Whether it sees every node."""
    if child.poll() is not None:
        raise Trouble(f"pgsplit did not start:\n{log.read_text()}")
    try:
        seen = sum(value for name, value in place.metrics().items() if name.startswith("pgsplit_node_up{"))
    except Trouble:
        return False
    return seen == len(place.nodes)


def load(place, scale, here):
    """The application's own migrations, then data; waits until the replicas that are known have it."""
    print(f"Loading the marketplace, scale {scale} ...", flush=True)
    schema = "".join(path.read_text() for path in sorted(MIGRATIONS.glob("*/migration.sql")))
    place.psql(text=schema)
    place.psql("-v", f"scale={scale}", "-f", here / "data.sql", limit=LIMIT + 30 * scale)
    if not place.nodes:
        return
    reached = place.on_nodes("SELECT CASE WHEN pg_is_in_recovery() THEN '' ELSE pg_current_wal_flush_lsn()::text END")
    position = reached[place.nodes[0][0]].strip()
    behind = f"SELECT pg_is_in_recovery() AND pg_last_wal_replay_lsn() < '{position}'"
    until("the replicas' catching up", lambda: "t\n" not in place.on_nodes(behind).values())
