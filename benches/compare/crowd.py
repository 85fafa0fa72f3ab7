"""Ten thousand clients: what each costs while it is idle, and how long each waits when there are few connections."""

import contextlib
import resource
import selectors
import time

import peers
from ground import Trouble
from process import memory
from wire import Client, Refused, unchecked

# Beside the clients' sockets.
FILES = 500
# Clients before the first look at the memory: what all share is there by then.
FIRST = 100
# Fairness: connections, clients that ask all the time, what each asks for, and for how long.
CONNECTIONS = 100
ACTIVE = 500
SERVICE = 0.05
SECONDS = 8


def as_many(asked):
    """As were asked for and as the limit of open files allows."""
    return min(asked.clients, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - FILES)


def idle(place, asked, say):
    """Memory of clients that have logged in and run a query, plain and with TLS."""
    lines = ["## Idle clients\n", "| peer | | clients | bytes a client | at rest, MB |", "|---|---|--:|--:|--:|"]
    count = as_many(asked)
    for tls in (False, True):
        if tls and not place.certificate():
            continue
        for name in ("pgbouncer", "pgsplit"):
            if asked.peers and name not in asked.peers:
                continue
            with contextlib.ExitStack() as stack:
                started = {
                    "pgbouncer": lambda: peers.pgbouncer(place, stack, "pgbouncer-idle", tls=tls),
                    "pgsplit": lambda: peers.pgsplit(place, stack, "pgsplit-idle", tls=tls, program=asked.pgsplit),
                }[name]()
                if started:
                    at_rest, each = grown(place, started, count, tls, stack)
                    way = "TLS" if tls else "plain"
                    say(f"{name}, {way}: {each:.0f} bytes")
                    lines.append(f"| {name} | {way} | {count} | {each:.0f} | {at_rest / 1e6:.1f} |")
    return ["\n".join(lines)]


def grown(place, peer, count, tls, stack):
    """Memory at rest, and what each client has added to it."""
    at_rest = memory(peer.pid)
    crowd = logged_in(place, peer, FIRST, stack, tls)
    before = memory(peer.pid)
    crowd += logged_in(place, peer, count - FIRST, stack, tls)
    return at_rest, (memory(peer.pid) - before) / (count - FIRST)


def logged_in(place, peer, count, stack, tls=False):
    """So many clients that have each run a query."""
    context = unchecked() if tls else None
    found = []
    for _ in range(count):
        client = Client(peer.port, context)
        stack.callback(client.close)
        client.login("app", place.password, "app")
        client.query("SELECT 1")
        found.append(client)
    return found


def fairness(place, asked, say):
    """How long clients wait for few connections; the first to be too many is refused at once."""
    # Whoever is at the limit leaves none for the check that the peer has started.
    count = min(as_many(asked), peers.CLIENTS - 1)
    lines = [
        f"## Fairness\n\n{count} clients, of them {ACTIVE} active, {CONNECTIONS} server connections, queries of "
        f"{SERVICE * 1000:.0f} ms, {SECONDS} s.\n",
        "| peer | queries | errors | p50 ms | p99 ms | max ms | p99 / p50 of the wait | fewest of a client |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name in ("pgbouncer", "pgsplit"):
        if asked.peers and name not in asked.peers:
            continue
        with contextlib.ExitStack() as stack:
            started = {
                "pgbouncer": lambda: peers.pgbouncer(place, stack, "pgbouncer-fair", pool=CONNECTIONS),
                "pgsplit": lambda: peers.pgsplit(
                    place, stack, "pgsplit-fair", [place.primary], pool=CONNECTIONS, program=asked.pgsplit
                ),
            }[name]()
            if started:
                crowd = logged_in(place, started, count, stack)
                lines.append(f"| {name} | {waits(crowd[:ACTIVE])} |")
                say(lines[-1])
                lines_of_refusal = refused(place, started, crowd, stack) if name == "pgsplit" else None
    return ["\n".join(lines)] + ([lines_of_refusal] if lines_of_refusal else [])


def waits(crowd):
    """All of them ask again as soon as they are answered."""
    selector, asked, counts = selectors.DefaultSelector(), {}, dict.fromkeys(crowd, 0)
    text = f"SELECT pg_sleep({SERVICE})"
    for client in crowd:
        client.socket.setblocking(False)
        selector.register(client.socket, selectors.EVENT_READ, client)
        client.ask(text)
        asked[client] = time.monotonic()
    began, took, errors = time.monotonic(), [], 0
    while (now := time.monotonic()) < began + SECONDS:
        for key, _ in selector.select(1):
            client, answer = key.data, key.data.socket.recv(4096)
            if not answer:
                raise Trouble("a client was disconnected")
            errors += answer[:1] == b"E"
            if answer[-6:-1] != b"Z\0\0\0\x05":
                continue
            now = time.monotonic()
            # The first answers are those of clients that did not have to wait, or for connections to be opened.
            if counts[client]:
                took.append(now - asked[client])
            counts[client] += 1
            client.ask(text)
            asked[client] = now
    selector.close()
    took.sort()
    p50, p99 = (took[len(took) * part // 100] for part in (50, 99))
    ratio = (p99 - SERVICE) / max(1e-9, p50 - SERVICE)
    milliseconds = " | ".join(f"{1000 * value:.0f}" for value in (p50, p99, took[-1]))
    return f"{len(took)} | {errors} | {milliseconds} | {ratio:.2f} | {min(counts.values())}"


def refused(place, peer, crowd, stack):
    """Fills it up to `max_clients`; how long the next one waits for its refusal."""
    room = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - FILES - len(crowd)
    missing = peers.CLIENTS - len(crowd)
    if missing > room:
        return "Too few open files are allowed here to fill it up to max_clients."
    logged_in(place, peer, missing, stack)
    began = time.monotonic()
    client = Client(peer.port)
    stack.callback(client.close)
    try:
        client.login("app", place.password, "app")
        told = "let in"
    except Refused as why:
        told = f"refused with {why}"
    return f"With {peers.CLIENTS} clients (max_clients) the next one is {told} after {1000 * (time.monotonic() - began):.1f} ms."
