"""What benches stand on: builds of this tree, a cluster of real PostgreSQL from the test kit, processes that end."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
MIGRATIONS = REPOSITORY / "tests/prisma/prisma/migrations"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))
# For whatever should take moments.
LIMIT = 60


class Trouble(Exception):
    """What the user should read instead of a traceback."""


def build(*what):
    if subprocess.run(["cargo", "build", "--quiet", "--locked", *what], cwd=REPOSITORY, check=False).returncode:
        raise Trouble("it does not build")


def cluster(stack, replicas=2, scale=0, connections=300, settings=()):
    """Starts one, which ends with `stack`, and reads what it says of itself: NAME='value' lines."""
    build("-p", "pgsplit-testkit", "--example", "cluster")
    command = [TARGET / "debug/examples/cluster", "--replicas", str(replicas), "--scale", str(scale)]
    command += ["--max-connections", str(connections)]
    command += [argument for setting in settings for argument in ("--setting", setting)]
    # A session of its own: Ctrl-C at the terminal must not reach it before what stands on it has ended. It lives as
    # long as its standard input.
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)
    stack.callback(end, child, child.stdin.close)
    found = told(child.stdout)
    if "PG_READY" not in found:
        raise Trouble("the cluster did not start")
    return found


def told(lines):
    """What a cluster says of itself."""
    found = {}
    for line in lines:
        name, _, value = line.strip().partition("=")
        found[name] = value.strip("'")
        if name == "PG_READY":
            break
    return found


def end(child, ask):
    """Asks a child to end, and waits; it is killed when it does not."""
    try:
        ask()
        child.wait(timeout=LIMIT)
    except (OSError, subprocess.TimeoutExpired):
        child.kill()
        child.wait()


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def until(what, ready, limit=LIMIT):
    """Waits until `ready` says something true."""
    give_up = time.monotonic() + limit
    while not ready():
        if time.monotonic() > give_up:
            raise Trouble(f"{what} took more than {limit} s")
        time.sleep(0.1)
