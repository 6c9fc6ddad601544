"""Text and numbers that users may control, and messages."""
from __future__ import annotations

import os
import re
import sys

MESSAGE_MAX = 600  # bytes


def encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def decode(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def plain(text: str) -> str:
    """Return the text as one line of limited length, without control characters."""
    return decode(re.sub(rb"\xc2[\x80-\x9f]|[\x00-\x1f\x7f]", b"?", encode(text)[:MESSAGE_MAX]))


def write(fd: int, message: str) -> None:
    try:
        os.write(fd, encode(message))
    except OSError:
        pass  # there is no reader


def say(message: str) -> None:
    """Write a message.  Slurm keeps messages of prolog and epilog only if they fail, so root's go to the system's log, too."""
    message = plain(message)
    write(2, f"pmio: {message}\n")
    if os.geteuid() == 0:
        import syslog

        syslog.openlog("pmio-slurm", 0, syslog.LOG_DAEMON)
        syslog.syslog(syslog.LOG_NOTICE, encode(message).decode("utf-8", "replace"))


def show(line: str) -> None:
    """Print a line of the command's result."""
    sys.stdout.buffer.write(encode(line + "\n"))


def number(text: str) -> int | None:
    """Convert 1 to 18 digits; None for other text."""
    return int(text) if re.fullmatch("[0-9]{1,18}", text) else None


def size(text: str) -> int | None:
    """Convert a size of pmio-slurm.conf, e.g. 1.5TiB, to bytes; None for other text."""
    match = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]{0,9})?)([KMGTP]?)(I?B)?", text, re.IGNORECASE | re.ASCII)
    if not match:
        return None
    digits, letter, unit = match.group(1), match.group(2).upper(), (match.group(3) or "").upper()
    base = 1000 if unit == "B" else 1024
    power = "KMGTP".index(letter) + 1 if letter else 0
    return number("%.0f" % (float(digits) * base**power))
