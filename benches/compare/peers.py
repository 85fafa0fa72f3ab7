"""What is compared: a direct connection, PgBouncer, pgpool-II, pgsplit, and whatever the caller names."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from ground import TARGET, Trouble, end, free_port, until

# Server connections that each may have to each node, where it has such a limit.
POOL = 60
# Clients that may be connected to each.
CLIENTS = 12_000
# pgpool-II has a process for each client.
PROCESSES = 270
SBIN = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


@dataclass
class Peer:
    name: str
    port: int
    pid: int | None = None  # of a direct connection there is none

    def environment(self, place):
        """For libpq."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        login = {"PGUSER": "app", "PGDATABASE": "app", "PGPASSWORD": place.password, "PGSSLMODE": "disable"}
        return clean | login | {"PGHOST": "127.0.0.1", "PGPORT": str(self.port)}


@dataclass
class Place:
    """The cluster that all of them stand before."""

    found: dict  # what the test kit says of it
    directory: Path  # for configurations and logs

    def __post_init__(self):
        self.password = self.found["PG_APP_PASSWORD"]
        self.primary = int(self.found["PG_PRIMARY_PORT"])
        self.ports = [int(port) for port in self.found["PG_PORTS"].split()]
        # What does not run as root must be able to read these.
        self.directory.chmod(0o755)
        self.direct = Peer("direct", self.primary)

    def program(self, name):
        return f"{self.found['PG_BINDIR']}{name}"

    def psql(self, *arguments, superuser=False, text=None):
        """On the primary, directly."""
        environment = self.direct.environment(self)
        if superuser:
            environment |= {"PGUSER": "postgres", "PGPASSWORD": self.found["PG_POSTGRES_PASSWORD"]}
        environment["PGOPTIONS"] = "-c client_min_messages=warning"
        command = [self.program("psql"), "-XqAt", "-v", "ON_ERROR_STOP=1", *arguments]
        done = subprocess.run(command, env=environment, input=text, capture_output=True, text=True, timeout=300)
        if done.returncode:
            raise Trouble(f"psql: {done.stderr.strip()}")
        return done.stdout

    def write(self, name, text):
        path = self.directory / name
        path.write_text(text)
        path.chmod(0o644)
        return path

    def certificate(self):
        """A key and a certificate signed by itself; None without openssl."""
        key, cert = self.directory / "key.pem", self.directory / "cert.pem"
        if not key.exists() and shutil.which("openssl"):
            ask = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout".split()
            subprocess.run(["openssl", *ask, key, "-out", cert], capture_output=True, check=True)
            key.chmod(0o644)
        return (key, cert) if key.exists() else None


def run(place, stack, name, command, port):
    """Starts a peer, which ends with `stack`."""
    log = place.directory / f"{name}.log"
    with log.open("w") as output:
        child = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
    stack.callback(end, child, lambda: child.send_signal(signal.SIGINT if "pgpool" in name else signal.SIGTERM))
    peer = Peer(name, port, child.pid)

    def answers():
        if child.poll() is not None:
            raise Trouble(f"{name} did not start:\n{log.read_text()[-2000:]}")
        asked = [place.program("psql"), "-XqAtc", "SELECT 1"]
        done = subprocess.run(asked, env=peer.environment(place), capture_output=True, timeout=60)
        return not done.returncode

    until(f"the start of {name}", answers)
    return peer


def unprivileged(command):
    """PgBouncer and pgpool-II refuse root."""
    if os.getuid() != 0:
        return command
    return ["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups", *command]


def needs(name):
    program = shutil.which(name, path=SBIN)
    if not program:
        print(f"compare: without {name}, which is not installed", file=sys.stderr)
    return program


def pgbouncer(place, stack, name="pgbouncer", mode="transaction", pool=POOL, tls=False):
    program = needs("pgbouncer")
    if not program:
        return None
    # Its own verifier, so that it need not derive one at each login.
    verifier = place.psql("-c", "SELECT rolpassword FROM pg_authid WHERE rolname = 'app'", superuser=True).strip()
    users = place.write("users.txt", f'"app" "{verifier}"\n')
    key, cert = place.certificate() if tls else (None, None)
    secure = f"client_tls_sslmode = allow\nclient_tls_key_file = {key}\nclient_tls_cert_file = {cert}\n" if tls else ""
    port = free_port()
    config = place.write(
        f"{name}.ini",
        f"[databases]\napp = host=127.0.0.1 port={place.primary}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
        f"listen_port = {port}\nunix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {users}\n"
        f"pool_mode = {mode}\ndefault_pool_size = {pool}\nmax_client_conn = {CLIENTS}\n"
        f"log_connections = 0\nlog_disconnections = 0\n{secure}",
    )
    return run(place, stack, name, unprivileged([program, "-q", config]), port)


def pgpool(place, stack):
    program = needs("pgpool")
    if not program:
        return None
    port = free_port()
    backends = "".join(
        f"backend_hostname{at} = '127.0.0.1'\nbackend_port{at} = {node}\nbackend_weight{at} = 1\n"
        f"backend_flag{at} = 'DISALLOW_TO_FAILOVER'\n"
        for at, node in enumerate(place.ports)
    )
    own = place.directory / "pgpool"
    own.mkdir()
    own.chmod(0o777)
    passwords = place.write("pool_passwd", f"app:TEXT{place.password}\n")
    hba = place.write("pool_hba.conf", "host all all 127.0.0.1/32 scram-sha-256\n")
    config = place.write(
        "pgpool.conf",
        f"listen_addresses = '127.0.0.1'\nport = {port}\nsocket_dir = '{own}'\npcp_port = {free_port()}\n"
        f"pcp_socket_dir = '{own}'\nwd_ipc_socket_dir = '{own}'\npid_file_name = '{own}/pid'\nlogdir = '{own}'\n"
        f"work_dir = '{own}'\nbackend_clustering_mode = 'streaming_replication'\n{backends}"
        f"num_init_children = {PROCESSES}\nmax_pool = 1\nload_balance_mode = on\nstatement_level_load_balance = on\n"
        f"enable_pool_hba = on\npool_passwd = '{passwords}'\nsr_check_user = 'pgsplit'\n"
        f"sr_check_password = '{place.found['PG_PGSPLIT_PASSWORD']}'\nsr_check_database = 'postgres'\n"
        "sr_check_period = 5\nhealth_check_period = 0\nmemory_cache_enabled = off\n",
    )
    command = unprivileged([program, "-n", "-f", config, "-a", hba])
    return run(place, stack, "pgpool", command, port)


def pgsplit(place, stack, name="pgsplit", nodes=None, pool=POOL, tls=False, program=None):
    """`nodes` are ports of servers; all unless given."""
    port = free_port()
    servers = ", ".join(f'"127.0.0.1:{node}"' for node in nodes or place.ports)
    key, cert = place.certificate() if tls else (None, None)
    secure = f'[tls]\ncert = "{cert}"\nkey = "{key}"\n' if tls else ""
    config = place.write(
        f"{name}.toml",
        f'listen = "127.0.0.1:{port}"\nhttp = "off"\nadmin = "off"\nnodes = [{servers}]\n'
        f'state_file = "{place.directory}/{name}.state"\n'
        f"[pool]\nmax_clients = {CLIENTS}\nprimary_connections = {pool}\nreplica_connections = {pool}\n"
        f'[auth]\nuser = "pgsplit"\npassword = "{place.found["PG_PGSPLIT_PASSWORD"]}"\n{secure}',
    )
    return run(place, stack, name, [program or TARGET / "release/pgsplit", "run", "-c", config], port)


def named(text):
    """NAME=PORT:PID from the command line."""
    try:
        name, _, rest = text.partition("=")
        port, _, pid = rest.partition(":")
        return Peer(name, int(port), int(pid))
    except ValueError as error:
        raise Trouble(f"--peer takes NAME=PORT:PID, not {text}") from error
