"""What it prints: tables of at most 80 columns."""

import re

# The groups of mix.txt that only read.
READS = ("public", "authenticated", "admin")
DECISION = re.compile(r'pgsplit_routing_decisions_total\{target="([^"]+)",reason="([^"]+)"\}')


def difference(before, after):
    """Decisions taken in between: {(target, reason): count}, those that are not zero."""
    counts = {}
    for name, value in after.items():
        if (found := DECISION.fullmatch(name)) and (new := value - before.get(name, 0)):
            counts[found.groups()] = int(new)
    return counts


def alone(counts, times):
    print(f"\nEach script alone, {times} times by one client: decisions by target and reason\n")
    print(f"{'script':<22} {'replica':<20} primary")
    for script, decided in counts.items():
        told = {"replica": [], "primary": []}
        for (target, reason), count in sorted(decided.items()):
            told[target].append(f"{count} {reason}")
        replica, primary = (", ".join(told[target]) or "-" for target in ("replica", "primary"))
        print(f"{script.name:<22} {replica:<20} {primary}")


def mix(outcome, asked, served):
    total = sum(len(times) for times in outcome.times.values())
    rate = f"{total / asked.seconds:.0f} calls/s"
    print(f"\nThe mix: {asked.clients} clients, {asked.seconds} s, scale {asked.scale}, {asked.mode}: {rate}")
    print("Under db1 to db3: the statements that each node ran\n" if served else "")
    head = f"{'script':<21} {'calls':>7} {'%':>5} {'mean ms':>8} {'p99 ms':>7} {'failed':>6}"
    print(head + "".join(f" {node:>6}" for node in served))
    group = None
    for script, times in outcome.times.items():
        if group and group != script.group:
            print()
        group = script.group
        nodes = "".join(f" {counts[script.name] or '-':>6}" for counts in served.values())
        print(f"{script.name:<21} {figures(times, total)} {outcome.failed.get(script, 0):>6}{nodes}")
    reads = sum(len(times) for script, times in outcome.times.items() if script.group in READS)
    print(f"\n{reads / total:.1%} of the calls were reads.")


def figures(times, total):
    if not times:
        return f"{0:>7} {0:>5.1f} {'-':>8} {'-':>7}"
    times = sorted(times)
    p99 = times[min(len(times) - 1, len(times) * 99 // 100)]
    return f"{len(times):>7} {100 * len(times) / total:>5.1f} {sum(times) / len(times):>8.2f} {p99:>7.1f}"


def decisions(before, after):
    counts = difference(before, after)
    total = sum(counts.values())
    if not total:
        return
    print("\nDecisions of the mix\n")
    print(f"{'target':<10} {'reason':<22} {'statements':>10} {'%':>6}")
    for (target, reason), count in sorted(counts.items(), key=lambda item: -item[1]):
        print(f"{target:<10} {reason:<22} {count:>10} {100 * count / total:>6.1f}")
    moved = sum(count for (target, _), count in counts.items() if target == "replica")
    kept = sum(counts.get(("primary", reason), 0) for reason in ("consistency", "no-replica"))
    if moved + kept:
        print(f"\n{moved / (moved + kept):.1%} of the reads that might run on replicas did.", waits(before, after))


def waits(before, after):
    """How many reads waited for a replica to catch up, and how long the half of them at most."""
    name = "pgsplit_consistency_wait_seconds"
    new = {key: value - before.get(key, 0) for key, value in after.items() if key.startswith(name)}
    count = new.get(f"{name}_count", 0)
    if not count:
        return "None had to wait for one."
    bounds = {float(found[1]): value for key, value in new.items() if (found := re.search(r'le="([^"]+)"', key))}
    half = min(bound for bound, below in bounds.items() if below >= count / 2)
    return f"{count:.0f} waited for one, half of them at most {half * 1000:g} ms."


def errors(outcome):
    if outcome.errors:
        print(f"\n{len(outcome.errors)} lines of errors, of which the first:", *outcome.errors[:5], sep="\n  ")
