"""What is run: pgbench and psql in many ways, and what comes out of one run."""

from __future__ import annotations

import re
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import mix
from ground import Trouble
from process import Watch, system_calls

BENCHES = Path(__file__).resolve().parents[1]
# Logins, caches and pools are over after this, counted from the first transaction's end.
WARM_UP = 0.3
# Beyond the time that was asked for, all clients must have logged in and ended within this.
GRACE = 120
# Rows of one COPY.
ROWS = 100_000


class TooShort(Trouble):
    """There is nothing to be measured: once more, and longer."""


@dataclass
class Result:
    """Of one run; what is not known is None."""

    rate: float  # units a second
    user: float | None  # microseconds of the peer's CPU per unit
    system: float | None
    p50: float | None = None  # milliseconds
    p99: float | None = None
    memory: int | None = None  # bytes
    failed: int = 0

    @property
    def cpu(self):
        return None if self.user is None else self.user + self.system


@dataclass
class Case:
    name: str
    arguments: list = field(default_factory=list)
    mode: str = "simple"
    clients: int = 32
    unit: str = "query"
    each: int = 1  # units of one transaction
    traced: bool = False  # system calls are counted in a run of its own
    copies: str = ""

    def run(self, place, peer, seconds):
        if self.copies:
            return copies(self, place, peer, seconds)
        # Logins count in for pgbench: on a busy machine hundreds of them take all of the time.
        try:
            return self.once(place, peer, seconds)
        except TooShort:
            return self.once(place, peer, seconds * 4)

    def once(self, place, peer, seconds):
        with tempfile.TemporaryDirectory(prefix="pgsplit-compare-") as directory:
            with Watch(peer.pid, memory_after=seconds / 2) as watch:
                failed = self.bench(place, peer, seconds, directory)
            return result(transactions(directory), watch, self.each, failed)

    def bench(self, place, peer, seconds, directory):
        done = subprocess.run(
            self.command(place, seconds),
            cwd=directory,
            env=peer.environment(place),
            capture_output=True,
            text=True,
            timeout=seconds + GRACE,
        )
        if not re.search("actually processed: [1-9]", done.stdout):
            raise TooShort(f"{peer.name}: {done.stderr.strip()[-500:]}")
        return sum("aborted" in line for line in done.stderr.splitlines())

    def command(self, place, seconds):
        jobs = min(2, self.clients)
        common = ["-n", "-l", "-M", self.mode, "-c", str(self.clients), "-j", str(jobs), "-T", str(seconds)]
        return [place.program("pgbench"), *common, *self.arguments]

    def system_calls(self, place, peer):
        """Per transaction; None where they cannot be counted."""
        with tempfile.TemporaryDirectory(prefix="pgsplit-compare-") as directory:
            child = subprocess.Popen(
                self.command(place, 3),
                cwd=directory,
                env=peer.environment(place),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            time.sleep(1)
            counted = system_calls(peer.pid, 1)
            child.wait(timeout=GRACE)
            if not counted:
                return None
            calls, began, ended = counted
            return calls / max(1, sum(began < at <= ended for at, _ in transactions(directory)))


def transactions(directory):
    """When each ended, and how many milliseconds it took, in the order of time."""
    found = []
    for log in Path(directory).glob("pgbench_log.*"):
        for line in log.read_text().splitlines():
            # client, number, microseconds or a word for a failure, script, seconds, microseconds
            _, _, took, _, second, micro, *_ = line.split()
            if took.isdigit():
                found.append((int(second) + int(micro) / 1e6, int(took) / 1000))
    return sorted(found)


def result(ends, watch, each, failed):
    """Of the time between the warm-up and the last transaction."""
    if not ends:
        raise TooShort("no transaction was done")
    behind = [moment for moment in watch.moments if moment.at >= ends[0][0] + WARM_UP]
    inside = [moment for moment in behind if moment.at <= ends[-1][0]]
    # Of a peer of hundreds of processes on a busy machine there may be too few: then its clients' farewell counts in.
    moments = inside if len(inside) > 1 else behind
    if len(moments) < 2:
        raise TooShort("the run was too short to be measured")
    first, last = moments[0], moments[-1]
    seconds = min(last.at, ends[-1][0]) - first.at
    times = sorted(took for at, took in ends if first.at < at <= last.at)
    units = max(1, len(times)) * each
    user, system = last.since(first)
    per_unit = [None if part is None else part / units for part in (user, system)]
    rank = [times[len(times) * part // 100] if times else None for part in (50, 99)]
    return Result(units / max(seconds, 1e-9), *per_unit, *rank, watch.memory, failed)


def copies(case, place, peer, seconds):
    """Copies by psql, one behind the other. The first one is not counted."""
    place.psql("-c", "TRUNCATE copied")
    environment = peer.environment(place)
    command = [place.program("psql"), "-XqAt", "-v", "ON_ERROR_STOP=1"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=environment, text=True, bufsize=1, **pipes) as psql:

        def copy():
            psql.stdin.write(f"{case.copies}\n\\echo done\n")
            if psql.stdout.readline() != "done\n":
                raise Trouble(f"{peer.name}: {psql.stderr.read()}")

        copy()
        with Watch(peer.pid, memory_after=seconds / 2) as watch:
            time.sleep(0.1)
            began, times = time.time(), []
            while time.time() - began < seconds:
                before = time.time()
                copy()
                times.append((time.time(), (time.time() - before) * 1000))
            time.sleep(0.1)
        psql.stdin.close()
    # Nothing else runs, so the whole of the watch is theirs.
    user, system = watch.moments[-1].since(watch.moments[0])
    units = len(times) * ROWS
    per_unit = [None if part is None else part / units for part in (user, system)]
    took = sorted(took for _, took in times)
    rank = [took[len(took) * part // 100] for part in (50, 99)]
    return Result(units / (times[-1][0] - began), *per_unit, *rank, watch.memory)


def cases(directory, scale):
    """All of them. Scripts and data are written to the directory."""
    for mode in ("simple", "extended", "prepared"):
        for clients in (1, 32, 256):
            yield Case(f"select {mode}, {clients}", ["-S"], mode, clients, traced=clients < 256)
    yield Case("tpc-b", ["-b", "tpcb-like"], unit="transaction")
    for rows in (1, 100, 10_000):
        script = directory / f"rows-{rows}.sql"
        script.write_text(
            f"\\set aid random(1, {100_000 * scale - rows})\n"
            f"SELECT * FROM pgbench_accounts WHERE aid > :aid AND aid <= :aid + {rows};\n"
        )
        yield Case(f"rows, {rows}", ["-f", str(script)], clients=4, unit="row", each=rows)
    data = directory / "rows.csv"
    data.write_text("".join(f"{at},1,0,{'x' * 84}\n" for at in range(ROWS)))
    out = f"\\copy (SELECT * FROM pgbench_accounts LIMIT {ROWS}) TO '/dev/null'"
    yield Case("copy out", clients=1, unit="row", copies=out)
    yield Case("copy in", clients=1, unit="row", copies=f"\\copy copied FROM '{data}' CSV")
    scripts = mix.scripts(BENCHES / "marketplace", None)
    weighted = [word for script in scripts for word in ("-f", f"{script.path}@{script.weight}")]
    yield Case("marketplace", ["--max-tries=3", "-D", "scale=1", *weighted], "extended", 16, "call")
    yield Case("login", ["-S", "-C"], clients=8, unit="login")
