"""What runs: the scripts with their weights, and pgbench, whose log of single transactions is read."""

import os
import re
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from ground import Trouble

# Beyond the time that was asked for, all clients must have logged in and ended within this.
GRACE = 120


@dataclass(frozen=True)
class Script:
    group: str
    name: str
    weight: int
    path: Path


@dataclass
class Outcome:
    """Milliseconds of each transaction by script, and what went wrong."""

    times: dict
    failed: dict
    errors: list = field(default_factory=list)


def scripts(here, only):
    """Those of mix.txt, or of it the named ones; a group's name stands for its scripts."""
    lines = (here / "mix.txt").read_text().splitlines()
    known = []
    for group, name, weight in (line.split() for line in lines if line and not line.startswith("#")):
        known.append(Script(group, name, int(weight), here / "scripts" / f"{name}.sql"))
    names = {name for script in known for name in (script.group, script.name)}
    if unknown := set(only or []) - names:
        raise Trouble(f"no script or group is called {', '.join(sorted(unknown))}; known: {', '.join(sorted(names))}")
    return [script for script in known if not only or {script.group, script.name} & set(only)]


class Bench:
    """pgbench against one place."""

    def __init__(self, place, scale, mode, stack):
        self.place, self.scale, self.mode = place, scale, mode
        self.program = place.program("pgbench")
        self.directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pgsplit-marketplace-")))
        shown = subprocess.run([self.program, "--help"], capture_output=True, text=True, timeout=GRACE)
        # Deadlocks and failed serialisation are tried again, as an application would; from version 15 on.
        self.tries = ["--max-tries=3"] if "--max-tries" in shown.stdout else []

    def run(self, scripts, clients, times=None, seconds=None):
        amount = ["-t", str(times)] if times else ["-T", str(seconds)]
        command = [self.program, "-n", "-l", "-M", self.mode, "-c", str(clients), "-j", str(min(2, clients)), *amount]
        command += ["-D", f"scale={self.scale}", *self.tries]
        command += [argument for script in scripts for argument in ("-f", f"{script.path}@{script.weight}")]
        limit = GRACE + (seconds or 0)
        try:
            done = subprocess.run(
                command, cwd=self.directory, env=self.place.environment(), capture_output=True, text=True, timeout=limit
            )
        except subprocess.TimeoutExpired as hung:
            raise Trouble(f"pgbench did not end within {limit} s") from hung
        outcome = self._outcome(scripts)
        trouble = re.compile("error|fatal|abort", re.IGNORECASE)
        outcome.errors = [line for line in done.stderr.splitlines() if trouble.search(line)]
        if not any(outcome.times.values()):
            raise Trouble(f"nothing was processed:\n{done.stderr}")
        aborted = sum("aborted" in line for line in outcome.errors)
        if done.returncode and not outcome.failed:
            outcome.failed[scripts[0]] = max(1, aborted)
        return outcome

    def _outcome(self, scripts):
        times, failed = {script: [] for script in scripts}, {}
        for log in self.directory.glob("pgbench_log.*"):
            # client, number, microseconds or a word for a failure, script, ...
            for line in log.read_text().splitlines():
                _, _, time, number, *_ = line.split()
                script = scripts[int(number)]
                if time.isdigit():
                    times[script].append(int(time) / 1000)
                else:
                    failed[script] = failed.get(script, 0) + 1
            os.unlink(log)
        return Outcome(times, failed)
