"""A client of which thousands fit into one process: start-up, SCRAM, TLS, simple queries; nothing else."""

import base64
import functools
import hashlib
import hmac
import os
import socket
import ssl
import struct

TLS_REQUEST = struct.pack("!ii", 8, 80877103)


class Refused(Exception):
    """An ErrorResponse; its SQLSTATE is the argument."""


class Client:
    def __init__(self, port, tls=None):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.socket.sendall(TLS_REQUEST)
            if self.socket.recv(1) != b"S":
                raise Refused("no TLS")
            self.socket = tls.wrap_socket(self.socket)
        self.rest = b""

    def login(self, user, password, database):
        body = struct.pack("!i", 3 << 16) + f"user\0{user}\0database\0{database}\0\0".encode()
        self.socket.sendall(struct.pack("!i", len(body) + 4) + body)
        nonce = base64.b64encode(os.urandom(18)).decode()
        bare = f"n=,r={nonce}"
        while True:
            tag, body = self.message()
            if tag == b"E":
                raise Refused(next(part[1:].decode() for part in body.split(b"\0") if part[:1] == b"C"))
            if tag == b"Z":
                return self
            if tag != b"R":
                continue
            kind, said = struct.unpack("!i", body[:4])[0], body[4:].decode(errors="replace")
            if kind == 10:
                first = f"n,,{bare}".encode()
                self.send(b"p", b"SCRAM-SHA-256\0" + struct.pack("!i", len(first)) + first)
            elif kind == 11:
                self.send(b"p", proof(password, bare, said))

    def query(self, text):
        """Sends it, and reads its answer to the end."""
        self.ask(text)
        tag = None
        while tag != b"Z":
            tag, body = self.message()
            if tag == b"E":
                raise Refused(body)

    def ask(self, text):
        self.send(b"Q", text.encode() + b"\0")

    def send(self, tag, body):
        self.socket.sendall(tag + struct.pack("!i", len(body) + 4) + body)

    def message(self):
        head = self.read(5)
        return head[:1], self.read(struct.unpack("!i", head[1:])[0] - 4)

    def read(self, length):
        while len(self.rest) < length:
            more = self.socket.recv(16384)
            if not more:
                raise Refused("it hung up")
            self.rest += more
        part, self.rest = self.rest[:length], self.rest[length:]
        return part

    def close(self):
        self.socket.close()


def proof(password, bare, challenge):
    """The last message of SCRAM-SHA-256 (RFC 5802)."""
    parts = dict(part.split("=", 1) for part in challenge.split(","))
    client, stored = keys(password, parts["s"], int(parts["i"]))
    ending = f"c=biws,r={parts['r']}"
    signature = hmac.digest(stored, f"{bare},{challenge},{ending}".encode(), "sha256")
    shown = bytes(a ^ b for a, b in zip(client, signature))
    return f"{ending},p={base64.b64encode(shown).decode()}".encode()


@functools.lru_cache
def keys(password, salt, rounds):
    """ClientKey and StoredKey: derived once, since all are the same user."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(salt), rounds)
    client = hmac.digest(salted, b"Client Key", "sha256")
    return client, hashlib.sha256(client).digest()


def unchecked():
    """TLS without looking at the certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
