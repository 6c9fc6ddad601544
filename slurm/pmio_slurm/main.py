"""The command line.

On the controller, called by burst_buffer.lua, as SlurmUser:
    pmio-slurm setup JOB UID GID [LINE...]     pmio-slurm data_in|pre_run|post_run|data_out JOB
    pmio-slurm teardown JOB HURRY              pmio-slurm status [JOB...]
On the nodes, as root:
    pmio-slurm prolog|epilog                   called by Slurm, with the job in the environment
    pmio-slurm retry                           pools whose data could not be drained: try again
On memory nodes, as root:
    pmio-slurm memory                          runs as long as the node is to have pools for jobs
"""
from __future__ import annotations

import os
import signal
import sys

from . import config, text
from .errors import Failure, explain

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# module, and how many arguments: at least, and at most (None: any); more are ignored
VERBS = {
    "setup": ("stages", 3, None),
    "data_in": ("stages", 1, 1),
    "pre_run": ("stages", 1, 1),
    "post_run": ("stages", 0, 1),
    "data_out": ("stages", 1, 1),
    "teardown": ("stages", 1, 2),
    "status": ("status", 0, None),
    "prolog": ("node", 0, 0),
    "epilog": ("node", 0, 0),
    "retry": ("retry", 0, 0),
    "memory": ("memory", 0, 0),
}


def usage() -> int:
    text.write(2, f"usage: pmio-slurm {'|'.join(VERBS)} ...\n")
    return 2


def function_of(verb: str):
    """Return the verb's function.  Only its module is loaded, as slurmctld and slurmd wait for this program."""
    module = f"{__package__}.{VERBS[verb][0]}"
    __import__(module)
    return getattr(sys.modules[module], verb)


def main(arguments: list[str]) -> int:
    os.umask(0o027)
    os.environ["LC_ALL"] = "C"
    os.environ["PATH"] = PATH
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    verb, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    if verb not in VERBS:
        return usage()
    _, least, most = VERBS[verb]
    if len(rest) < least:
        return usage()
    return run(verb, rest[:most])


def run(verb: str, arguments: list[str]) -> int:
    try:
        function_of(verb)(config.Config(config.find()), *arguments)
        sys.stdout.flush()
    except (Failure, OSError) as error:
        text.say(explain(error))
        return 1
    except SystemExit as end:
        return end.code
    except Exception as error:
        text.say(f"{verb}: {type(error).__name__}: {error}{place(error)}: this is an internal error in pmio")
        return 1
    return 0


def place(error: Exception) -> str:
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    return f" ({os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno})" if trace else ""
