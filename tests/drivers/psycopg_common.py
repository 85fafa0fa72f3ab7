"""What the psycopg scripts share: connecting, and showing errors whole."""

import psycopg

from transcript import show


def refused(label, error):
    """Everything of an error that an application may look at."""
    diag = error.diag
    fields = ("severity", "message_primary", "message_detail", "message_hint", "statement_position",
              "context", "schema_name", "table_name", "column_name", "datatype_name", "constraint_name")
    found = {name: getattr(diag, name) for name in fields if getattr(diag, name)}
    show(label, type(error).__name__, error.sqlstate, found)


def attempt(label, action):
    try:
        show(label, action())
    except psycopg.Error as error:
        refused(label, error)
