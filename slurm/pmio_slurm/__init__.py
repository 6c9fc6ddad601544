"""pmio for jobs of Slurm: the program pmio-slurm.

Controller, nodes and memory nodes communicate by files in the folder STATE, which all of them share.  Each process may be
killed at any time and be called again.  A job's folder STATE/job.ID:

    spec              what the job has requested: lines WORD VALUE
    environment       PMIO_... for its programs: lines NAME=VALUE
    nodes             their names
    begun.NODE        the prolog has begun to make a pool there
    ready.NODE        and has succeeded; or
    failed.NODE       why not
    warning.NODE      a stage-in that failed: programs read those files from the file system
    progress.NODE     of the drain: bytes that are drained, and all
    drained.NODE      result of the epilog: 0, or 1 and why
    out               all its data are drained

and for memory nodes:

    want.NODE         the node is to have a pool of this many bytes for the job
    card.NODE         the endpoint descriptor ("card") of its target; or nocard.NODE: why there is none
    memory_nodes      their names, in the order of the setting targets
    do.NODE           what the node is to do now, and with which pool; did.NODE: its result, 0, or 1 and why
    memory_progress.NODE   progress of that, as progress.NODE
    staged            everything was staged in before the job had nodes
    waits             what the job waits for
    destroys.NAME     the job has begun to destroy this buffer

A persistent buffer's folder STATE/buffer.NAME has spec, want, card, nocard, waits and memory_nodes too; `ready` when it may
be used, `going` while it is being destroyed.  STATE/memory.NODE: a memory node is up; free bytes, bytes in all.

Each file is written atomically.  Only root and SlurmUser can read them, except for the cards, which belong to the job's
user: the user's programs find them through the folder, which no other user can list.

Any text may be controlled by users: names of files, the output of a program that runs as the user (and that the user may
modify while it runs), and the arguments of sbatch.  So
  - numbers are converted by text.number() alone, and nothing is evaluated;
  - users' programs are run by user.User.run(): their output comes through a pipe, they inherit no file of root's, and their
    run time is limited;
  - text that people are to read goes through text.plain().

Modules, each imports only those before it:

    errors text clock files commands   helpers
    config                             pmio-slurm.conf
    user                               commands as a job's user
    memory_nodes lease job buffer      the folders in STATE
    stages status                      on the controller, called by burst_buffer.lua
    processes quota pool               pools in PMEM
    retry node                         pools that were kept; prolog and epilog
    memory_pool memory                 the loop of memory nodes
    main                               the command line
"""
