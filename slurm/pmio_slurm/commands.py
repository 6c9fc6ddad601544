"""Commands of Slurm and of the system, which run as the user that runs pmio-slurm."""
from __future__ import annotations

import subprocess

from . import text
from .errors import Failure, explain


def output(*words: str, limit: float | None = None, errors: int | None = subprocess.DEVNULL) -> str | None:
    """Return the command's output; None if it fails, or takes longer than `limit` seconds."""
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, timeout=limit)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return text.decode(done.stdout) if done.returncode == 0 else None


def check(*words: str) -> str:
    """Return the command's output; if it fails, raise Failure with that output."""
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    except OSError as error:
        raise Failure(explain(error)) from None
    said = text.decode(done.stdout).strip("\n")
    if done.returncode != 0:
        raise Failure(said or f"{words[0]} has ended with status {done.returncode}")
    return said
