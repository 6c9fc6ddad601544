"""Project quotas of the file system PMEM.

A pool's folder belongs to its user, who could fill the file system with other files there.  If the file system has project
quotas the folder is a project, so that everything in it together has a limit; a renamed folder keeps its project number.
"""
from __future__ import annotations

import os

from . import commands, text
from .config import Config
from .errors import Failure, explain

CATALOG = 40 << 20  # bytes in addition to the pool's size
POOL_FILES = 1000
OPTIONS = {"ext4": ("prjquota",), "xfs": ("prjquota", "pquota")}


def mount_point(config: Config) -> str:
    """Return the mount point on which project quotas are set; an empty string if there are none."""
    try:
        kind = commands.check("findmnt", "-nro", "FSTYPE,OPTIONS", "-T", config.pmem).split("\n")[-1]
        mount = commands.check("findmnt", "-nro", "TARGET", "-T", config.pmem).split("\n")[-1]
    except Failure:
        return ""
    name, _, options = kind.partition(" ")
    wanted = OPTIONS.get(name, ())
    return mount if any(option in wanted for option in options.split(",")) else ""


def project_of(folder: str) -> int:
    return (1 << 31) + os.stat(folder).st_ino % (1 << 31)


def limit(config: Config, pool: str, size: int) -> None:
    """Limit the size of the pool's folder; to be called before its user gets the folder."""
    mount = mount_point(config)
    if not mount:
        text.say(f"{config.pmem} has no project quotas: the files that users put beside their pools are not limited")
        return
    try:
        project = project_of(pool)
        commands.check("chattr", "+P", "-p", str(project), pool)
        set_quota(project, (size + 2 * CATALOG) // 1024, POOL_FILES, mount)
    except (Failure, OSError) as error:
        text.say(f"{pool} has no limit beside its pool: {explain(error)}")


def release(config: Config, project: int) -> None:
    mount = mount_point(config)
    if not mount:
        return
    try:
        set_quota(project, 0, 0, mount)
    except Failure:
        pass  # the number is that of a removed inode: the next folder with that number sets its own limit


def set_quota(project: int, kib: int, files: int, mount: str) -> None:
    commands.check("setquota", "-P", str(project), "0", str(kib), "0", str(files), mount)
