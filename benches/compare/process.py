"""What a process costs: CPU by the scheduler's own account, memory, system calls. Children and threads count in."""

import os
import signal
import subprocess
import threading
import time
from pathlib import Path

TICK = 100  # clock ticks a second, in /proc/PID/stat on every Linux


def tree(pid):
    """A process and all below it."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name may hold anything, so count from its bracket.
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it has ended
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


class Cpu:
    """CPU so far at one moment: nanoseconds by thread, and ticks in user and in system mode."""

    def __init__(self, processes):
        self.at, self.threads, self.user, self.system = time.time(), {}, 0, 0
        for one in processes:
            try:
                fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
                self.user, self.system = self.user + int(fields[11]), self.system + int(fields[12])
                threads = os.listdir(f"/proc/{one}/task") if fields[17] != "1" else [one]
                for thread in threads:
                    file = Path(f"/proc/{one}/task/{thread}/schedstat")
                    self.threads[int(thread)] = int(file.read_text().split()[0])
            except OSError:
                continue

    def since(self, before):
        """Microseconds in user and in system mode."""
        total = sum(now - before.threads.get(thread, 0) for thread, now in self.threads.items()) / 1000
        user, system = self.user - before.user, self.system - before.system
        share = user / (user + system) if user + system else 0.5
        return total * share, total * (1 - share)


class Watch:
    """Takes the time of a process while something else runs; its memory once, after so many seconds."""

    def __init__(self, pid, memory_after):
        self.pid, self.memory_after, self.moments, self.memory = pid, memory_after, [], None
        # Those that have a process for each client have them from the beginning.
        self.processes = tree(pid) if pid else []
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._look)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()

    def _look(self):
        began = time.time()
        while not self.stop.is_set():
            self._note()
            took = time.time() - self.moments[-1].at
            if self.pid and self.memory is None and time.time() - began > self.memory_after:
                self.memory = memory(self.pid)
            self.stop.wait(min(0.3, max(0.05, 10 * took)))
        self._note()

    def _note(self):
        self.moments.append(Cpu(self.processes) if self.pid else Moment())


class Moment:
    """A moment at which there is nothing to look at."""

    def __init__(self):
        self.at = time.time()

    def since(self, _):
        return None, None


def memory(pid):
    """Proportional set size in bytes."""
    sizes = 0
    for one in tree(pid):
        try:
            lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        sizes += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return sizes


def system_calls(pid, seconds):
    """How many there are within so many seconds, and from when to when that was; None without strace."""
    command = ["strace", "-f", "-c"] + [word for one in tree(pid) for word in ("-p", str(one))]
    try:
        tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    except FileNotFoundError:
        return None
    tracer.stderr.readline()  # it is attached
    began = time.time()
    time.sleep(seconds)
    ended = time.time()
    tracer.send_signal(signal.SIGINT)
    rows = [line.split() for line in tracer.communicate()[1].splitlines() if line.endswith(" total")]
    return (int(rows[-1][3]), began, ended) if rows else None
