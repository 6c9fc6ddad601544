"""Files of the state and folders of pools: all that changes something on disk is here.

STATE is writable for root and SlurmUser, PMEM for root alone, so names in them can be believed; what is below a pool's folder
is its user's, and only users' commands (user.py) and rm go there.
"""
from __future__ import annotations

import errno
import os
import stat
import subprocess

from . import text

GONE = (errno.ENOENT, errno.ENOTDIR)


def exists(path: str) -> bool:
    """Raises if that cannot be known, as on a file system that does not answer: what cannot be seen has not gone."""
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
    """All of it; nothing if the file is not there."""
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
    """What follows `prefix` in the names of a folder that begin so."""
    try:
        return sorted(name[len(prefix) :] for name in os.listdir(folder) if name.startswith(prefix))
    except OSError as error:
        if error.errno in GONE:
            return []
        raise


def put(path: str, content: str, end: str = "\n") -> None:
    """Whole or not at all; nothing if the folder is gone.  What root makes in STATE becomes the folder's owner's, SlurmUser's."""
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
    """A file that only this user can read, and root."""
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
    """Another process may be adding to it: rm says so, and that is raised."""
    command = ["rm", "-rf", *(["--one-file-system"] if one_file_system else []), "--", path]
    if limit is not None:
        command = ["timeout", "-k", "10", str(limit), *command]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        why = text.decode(done.stdout).strip() or f"rm ended with status {done.returncode}"
        raise OSError(errno.EBUSY, f"cannot be removed: {why}", path)


def try_to_remove_folder(path: str) -> None:
    """On NFS a file that somebody has open stays for a while."""
    try:
        remove_folder(path)
    except OSError:
        pass


def make_folder(path: str, mode: int) -> None:
    """With this mode, whatever the umask is, and closed before."""
    os.mkdir(path, mode & 0o700)
    if mode & 0o077:
        os.chmod(path, mode)


def rename(path: str, to: str) -> None:
    """Never into a folder that has the name already; an empty one is replaced, as by mv -T."""
    os.rename(path, to)


def give(path: str, uid: int, gid: int) -> None:
    os.chown(path, uid, gid, follow_symlinks=False)


def close_to_others(path: str) -> None:
    os.chmod(path, 0o700)
