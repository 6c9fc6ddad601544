"""What pmio does for jobs of Slurm: the program pmio-slurm.

Controller, nodes and memory nodes tell each other by files in the folder STATE, which all of them see.  Each process may be
killed at any time and be called again.  A job's folder STATE/job.ID:

    spec              what the job asked for: lines WORD VALUE
    environment       PMIO_... for its programs: lines NAME=VALUE
    nodes             their names
    begun.NODE        the prolog has begun to make a pool there
    ready.NODE        and has ended well; or
    failed.NODE       why not
    warning.NODE      a stage-in that failed: programs read those files from the file system
    progress.NODE     of the drain: bytes that are out, and all
    drained.NODE      how the epilog ended: 0, or 1 and why
    out               all its data are out

of memory nodes:

    want.NODE         the node is to have a pool of so many bytes for the job
    card.NODE         and has one; or nocard.NODE: why not
    memory_nodes      their names, in the order of the setting targets
    do.NODE           what the node is to do now, and with whose pool; did.NODE: 0, or 1 and why
    memory_progress.NODE   of that, as progress.NODE
    staged            all was staged in before the job had nodes
    waits             what the job waits for
    destroys.NAME     the job has begun to destroy this buffer

A persistent buffer's folder STATE/buffer.NAME has spec, want, card, nocard, waits and memory_nodes too; ready when it may be
used, going while it is being destroyed.  STATE/memory.NODE: a memory node is up; free bytes, bytes in all.

Each file is there whole or not at all.  Only root and SlurmUser can read them, but for the cards, which belong to the job's
user: the user's programs find them through the folder, which nobody else can list.

Users can have a hand in any text: names of files, what a program says that runs as the user (and that the user may change
while it runs), and what sbatch was given.  So
  - numbers are taken by text.number() alone, and nothing is evaluated;
  - users' programs run by user.User.run(): what they say comes through a pipe, they are handed no file of root's, and they
    have an end;
  - what people are to read goes through text.plain().

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
