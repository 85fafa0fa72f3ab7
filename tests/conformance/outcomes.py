"""A pytest plugin: writes each test's outcome to the file that OUTCOMES names, one per line, as it is known.

A line is the outcome (passed, failed, skipped), a tab, and the test's name. What failed is told in OUTCOMES.failures.
"""

import os

_path = os.environ["OUTCOMES"]
_outcomes = open(_path, "w", buffering=1, encoding="utf-8")
_failures = open(_path + ".failures", "w", buffering=1, encoding="utf-8", errors="backslashreplace")


def _name(nodeid):
    # Names are told apart by line, and ports by nobody.
    for port in (os.environ.get("PGPORT"), os.environ.get("OUTCOMES_PORT")):
        if port:
            nodeid = nodeid.replace(port, "PORT")
    return nodeid.encode("unicode_escape").decode("ascii")


def _write(outcome, report):
    _outcomes.write(f"{outcome}\t{_name(report.nodeid)}\n")
    if outcome == "failed":
        _failures.write(f"=== {_name(report.nodeid)} ({getattr(report, 'when', 'collect')})\n{report.longreprtext}\n")


def pytest_runtest_logreport(report):
    # A test's own outcome; of set-up and clean-up only what went wrong, or kept it from running.
    if report.when == "call" or report.failed or (report.when == "setup" and report.skipped):
        _write(report.outcome, report)


def pytest_collectreport(report):
    if report.failed:
        _write("failed", report)
