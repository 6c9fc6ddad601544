#!/bin/bash
# unit.sh -- slurm/pmio_slurm in a folder of this test's, with a clock, memory nodes and a pmio of its own; TAP
. "${top_srcdir:-.}/tests/env.sh" || exit 99
python=/usr/bin/python3 # as slurm/pmio-slurm
$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || skip_all "no $python of version 3.11 or later"
$python -ISBX utf8 "$top_srcdir/tests/slurm/unit.py" "$top_srcdir/slurm" "$T"
