"""Exceptions, and their texts."""
from __future__ import annotations


class Failure(Exception):
    """Something could not be done; the text says what, on what and why."""


class NoEnd(Failure):
    """A user's command was killed: it made no progress, or ran for too long."""


def explain(error: BaseException) -> str:
    """Return a one-line description of the error."""
    if isinstance(error, OSError) and error.strerror:
        names = " -> ".join(str(name) for name in (error.filename, error.filename2) if name is not None)
        return f"{names}: {error.strerror}" if names else error.strerror
    return str(error)
