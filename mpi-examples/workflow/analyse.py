"""analyse.py FIRST LAST CSV JSON -- the means of the rows of two grids that heat2d has written"""
import json
import os
import struct
import sys


def grid(path):
    with open(path, "rb") as f:
        cols, rows, steps = struct.unpack("<iiq", f.read(16))
        data = f.read()
    assert len(data) == rows * cols * 8 == os.stat(path).st_size - 16
    return steps, [struct.unpack_from("<%dd" % cols, data, r * cols * 8) for r in range(rows)]


first, last, table, summary = sys.argv[1:]
steps, before = grid(first)
all_steps, after = grid(last)
with open(table, "w") as f:
    for r, (b, a) in enumerate(zip(before, after)):
        print(r, sum(a) / len(a), sum(a) / len(a) - sum(b) / len(b), sep=",", file=f)
with open(summary + ".new", "w") as f:
    json.dump({"steps": [steps, all_steps], "mean": sum(map(sum, after)) / sum(map(len, after))}, f)
os.replace(summary + ".new", summary)
