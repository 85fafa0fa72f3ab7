"""The results as text: a table of medians, and every run as CSV."""

from __future__ import annotations

import datetime
import os
import platform
import statistics
from dataclasses import fields

from cases import Result

BASE = "pgbouncer"
HEAD = "| case | peer | rate/s | x | CPU us | user | system | x | calls | p50 ms | p99 ms | memory MB | failed |"


class Summary:
    """Medians by case and peer."""

    def __init__(self, rows):
        self.runs, self.calls = {}, {}
        for case, peer, turn, result in rows:
            if turn == "syscalls":
                self.calls[case.name, peer] = result
            else:
                self.runs.setdefault(case.name, {}).setdefault(peer, {})[turn] = result
        self.units = {case.name: case.unit for case, *_ in rows}

    def median(self, case, peer, figure):
        known = [getattr(result, figure) for result in self.runs[case].get(peer, {}).values() if result]
        known = [value for value in known if value is not None]
        return statistics.median(known) if known else None

    def ratio(self, case, peer, figure):
        """To PgBouncer's in the same round."""
        runs, ratios = self.runs[case], []
        for turn, result in runs.get(peer, {}).items():
            base = runs.get(BASE, {}).get(turn)
            mine, other = getattr(result, figure, None), getattr(base, figure, None)
            if mine is not None and other:
                ratios.append(mine / other)
        return statistics.median(ratios) if ratios else None

    def text(self, asked, notes):
        today = datetime.date.today().isoformat()
        words = [
            f"# pgsplit beside its peers\n\n`make compare`, {today}, {os.cpu_count()} cores of {platform.machine()}, "
            f"{asked.rounds} rounds of {asked.seconds} s.\n\n"
        ]
        if self.runs:
            words.append(
                "Medians. A rate counts queries, or what the case says in brackets; CPU is the peer's own, per one of "
                "these, as are system calls. x is the median ratio to PgBouncer in the same round.\n\n"
            )
            words.append(f"{HEAD}\n|---|---|{'--:|' * 11}\n")
            words += [self.line(case, peer) for case, peers in self.runs.items() for peer in peers]
        words += [f"\n{note}\n" for note in notes]
        return "".join(words)

    def line(self, case, peer):
        def figure(name, form):
            value = self.median(case, peer, name)
            return "" if value is None else form.format(value)

        def ratio(name):
            value = self.ratio(case, peer, name)
            return "" if value is None or peer == BASE else f"{value:.2f}"

        unit = self.units[case]
        label = case if unit == "query" else f"{case} ({unit})"
        memory, calls = self.median(case, peer, "memory"), self.calls.get((case, peer))
        failed = sum(result.failed if result else 1 for result in self.runs[case][peer].values())
        cells = [label, peer, figure("rate", "{:.0f}"), ratio("rate"), figure("cpu", "{:.2f}")]
        cells += [figure("user", "{:.2f}"), figure("system", "{:.2f}"), ratio("cpu")]
        cells += ["" if calls is None else f"{calls:.1f}", figure("p50", "{:.3f}"), figure("p99", "{:.3f}")]
        cells += ["" if memory is None else f"{memory / 1e6:.1f}", str(failed or "")]
        return f"| {' | '.join(cells)} |\n"


def csv(rows):
    """Every run; and the system calls, which are counted in runs of their own."""
    names = [field.name for field in fields(Result)]
    lines = [",".join(["case", "unit", "peer", "round", *names, "calls"])]
    for case, peer, turn, result in rows:
        known = [f'"{case.name}"', case.unit, peer, str(turn)]
        if turn == "syscalls":
            values = [""] * len(names) + [result]
        else:
            values = [getattr(result, name, None) for name in names] + [""]
        known += ["" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value) for value in values]
        lines.append(",".join(known))
    return "\n".join(lines) + "\n"
