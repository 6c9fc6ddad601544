"""Files of the state and folders of pools: all functions that change something on disk.

STATE is writable for root and SlurmUser, PMEM for root alone, so names in them can be trusted; everything below a pool's
folder belongs to its user, and only users' commands (user.py) and rm access it.
"""
from __future__ import annotations

import errno
import os
import stat
import subprocess

from . import text

GONE = (errno.ENOENT, errno.ENOTDIR)


def exists(path: str) -> bool:
    """Return whether the file exists; raise if that cannot be determined, as on a file system that does not answer."""
    try:
        os.stat(path)
    except OSError as error:
        if error.errno in GONE:
            return False
        raise
    return True


def is_folder(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except OSError as error:
        if error.errno in GONE:
            return False
        raise


def owner(path: str) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_uid, found.st_gid


def read(path: str) -> str:
    """Return the whole contents; an empty string if the file does not exist."""
    try:
        with open(path, "rb") as file:
            return text.decode(file.read())
    except OSError as error:
        if error.errno in GONE:
            return ""
        raise


def lines(path: str) -> list[str]:
    found = read(path).split("\n")
    return found if found[-1] else found[:-1]


def first_line(path: str) -> str:
    return read(path).split("\n", 1)[0]


def endings(folder: str, prefix: str) -> list[str]:
    """Return the names in a folder that begin with `prefix`, without it."""
    try:
        return sorted(name[len(prefix) :] for name in os.listdir(folder) if name.startswith(prefix))
    except OSError as error:
        if error.errno in GONE:
            return []
        raise


def put(path: str, content: str, end: str = "\n") -> None:
    """Write a file atomically; do nothing if the folder is gone.  A file that root makes in STATE is given to SlurmUser."""
    folder, name = os.path.split(path)
    new = os.path.join(folder, f".{name}.{os.getpid()}")
    try:
        with open(new, "wb") as file:
            file.write(text.encode(content + end))
        if os.geteuid() == 0:
            os.chown(new, *owner(folder))
        os.replace(new, path)
    except OSError as error:
        remove(new)
        if error.errno not in GONE:
            raise


def put_for(path: str, content: str, uid: int, gid: int) -> None:
    """Write a file that only this user and root can read."""
    folder, name = os.path.split(path)
    new = os.path.join(folder, "." + name)
    remove(new)
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with open(fd, "wb") as file:
            file.write(text.encode(content))
            os.fchown(fd, uid, gid)
        os.replace(new, path)
    except OSError:
        remove(new)
        raise


def remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError as error:
        if error.errno not in GONE:
            raise


def remove_all(folder: str, *prefixes: str) -> None:
    for prefix in prefixes:
        for ending in endings(folder, prefix):
            remove(os.path.join(folder, prefix + ending))


def remove_folder(path: str, limit: float | None = None, one_file_system: bool = False) -> None:
    """Remove a folder; raise with rm's message if that fails, e.g. because another process is adding to it."""
    command = ["rm", "-rf", *(["--one-file-system"] if one_file_system else []), "--", path]
    if limit is not None:
        command = ["timeout", "-k", "10", str(limit), *command]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        why = text.decode(done.stdout).strip() or f"rm ended with status {done.returncode}"
        raise OSError(errno.EBUSY, f"cannot be removed: {why}", path)


def try_to_remove_folder(path: str) -> None:
    """Remove a folder if possible: on NFS a file that a process has open stays for a while."""
    try:
        remove_folder(path)
    except OSError:
        pass


def make_folder(path: str, mode: int) -> None:
    """Make a folder with this mode, whatever the umask is; until it has it, other users have no access."""
    os.mkdir(path, mode & 0o700)
    if mode & 0o077:
        os.chmod(path, mode)


def rename(path: str, to: str) -> None:
    """Rename, as mv -T: not into an existing folder of that name; an empty one is replaced."""
    os.rename(path, to)


def give(path: str, uid: int, gid: int) -> None:
    os.chown(path, uid, gid, follow_symlinks=False)


def close_to_others(path: str) -> None:
    os.chmod(path, 0o700)
