"""What the Python scripts share: sections, and a transcript that is the same on every run.

A script is called with a connection URI, works in a schema of its own, and prints what a driver's user
would see: values, tags, errors, notices. What differs by nature (process ids, object ids, times, ports)
is never printed.
"""

import asyncio
import hashlib
import inspect
import sys
import traceback

SECTIONS = []


def section(function):
    """Registers a part of the script; its name is the heading."""
    SECTIONS.append(function)
    return function


def show(label, *values):
    """One line of the transcript; what is long goes in as its length and a hash."""
    print(f"  {label}:", *[short(value) for value in values])


def short(value):
    text = repr(value)
    if len(text) <= 400:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return f"<{type(value).__name__} of {len(text)}, sha256 {digest}>"


def rows(label, found):
    """Every row on a line of its own."""
    show(label, len(found))
    for row in found:
        print("   ", short(tuple(row)))


def main():
    """Runs all sections. One that fails does not keep the others from running."""
    failures = 0
    only = sys.argv[2:]
    for function in SECTIONS:
        if only and function.__name__ not in only:
            continue
        print(f"== {function.__name__.replace('_', ' ')}", flush=True)
        try:
            if inspect.iscoroutinefunction(function):
                asyncio.run(function(sys.argv[1]))
            else:
                function(sys.argv[1])
        except Exception as error:  # noqa: BLE001
            failures += 1
            print(f"  UNEXPECTED {type(error).__name__}: {str(error).splitlines()[:1]}")
            traceback.print_exc()
    sys.exit(1 if failures else 0)


# Every type that applications store, as SQL and as text that PostgreSQL reads back.
TYPES = [
    ("bool", ["t", "f"]),
    ("int2", ["-32768", "32767"]),
    ("int4", ["-2147483648", "2147483647"]),
    ("int8", ["-9223372036854775808", "9223372036854775807"]),
    ("float4", ["1.5", "-0", "NaN", "Infinity", "3.4028235e+38"]),
    ("float8", ["0.1", "1e-300", "-Infinity"]),
    ("numeric", ["0", "-1.50", "12345678901234567890.123456789", "1e-20"]),
    ("numeric(12,4)", ["1.5", "-99999999.9999"]),
    ("text", ["", "a'b\"c\\d", "línea\n\ttab", "\U0001f600 and 漢字"]),
    ("varchar(10)", ["ten chars!"]),
    ("char(5)", ["ab"]),
    ("name", ["some_name"]),
    ('"char"', ["x"]),
    ("bytea", ["\\x", "\\x00ff10"]),
    ("date", ["2024-02-29", "0001-01-01"]),
    ("time", ["00:00:00", "23:59:59.999999"]),
    ("timetz", ["12:30:00+02"]),
    ("timestamp", ["2024-02-29 12:30:45.123456"]),
    ("timestamptz", ["2024-02-29 12:30:45.123456+05:30"]),
    ("interval", ["3 days 04:05:06.789", "-2 days"]),
    ("uuid", ["12345678-1234-5678-1234-567812345678"]),
    ("json", ['{"b": [1, 2.5, null], "a": "x"}']),
    ("jsonb", ['{"b": [1, 2.5, null], "a": "x"}', "null"]),
    ("int4[]", ["{}", "{1,NULL,3}", "{{1,2},{3,4}}"]),
    ("text[]", ['{"a,b","c\\"d",NULL,""}']),
    ("int4range", ["[1,5)", "empty", "(,3]"]),
    ("tstzrange", ['["2024-01-01 00:00:00+00","2024-02-01 00:00:00+00")']),
    ("inet", ["192.168.0.1/24", "::1"]),
    ("cidr", ["10.0.0.0/8"]),
    ("bit(5)", ["10101"]),
    ("varbit", ["101"]),
    ("oid", ["4294967295"]),
    ("mood", ["sad", "happy"]),
    ("pair", ['(1,"a b")']),
    ("percent", ["99"]),
]

# Only as text: drivers have no binary form of their own for these.
TEXT_TYPES = [
    ("money", ["$1,234.50"]),
    ("point", ["(1,-2.5)"]),
    ("box", ["(3,4),(1,2)"]),
    ("polygon", ["((0,0),(1,1),(1,0))"]),
    ("macaddr", ["08:00:2b:01:02:03"]),
    ("xml", ["<a>b</a>"]),
    ("tsvector", ["'cat':1 'dog':2B"]),
    ("tsquery", ["'cat' & !'dog'"]),
    ("pg_lsn", ["16/B374D848"]),
    ("int4multirange", ["{[1,3),[5,8)}"]),
    ("regtype", ["integer"]),
    ("jsonpath", ['$."a"[*]']),
]

SETUP = """
DROP SCHEMA IF EXISTS {schema} CASCADE;
CREATE SCHEMA {schema};
SET search_path = {schema}, public;
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE TYPE pair AS (number int, word text);
CREATE DOMAIN percent AS int CHECK (VALUE BETWEEN 0 AND 100);
CREATE TABLE item (
    id int PRIMARY KEY,
    name text NOT NULL,
    price numeric(10,2) CONSTRAINT price_is_positive CHECK (price > 0)
);
CREATE TABLE part (id int PRIMARY KEY, item int NOT NULL REFERENCES item DEFERRABLE);
CREATE TABLE log (id serial PRIMARY KEY, what text);
INSERT INTO item SELECT n, 'item ' || n, n * 1.25 FROM generate_series(1, 100) n;
"""
