"""Runs Python programs one after the other, each in a fork of this process, which has loaded
OpenCV: loading it takes longer than most of them. A line in is the JSON list of a program and its
arguments; a line out is its exit code and what it said."""

import json
import os
import runpy
import sys
import tempfile

import cv2  # noqa: F401
import numpy  # noqa: F401

for line in sys.stdin:
    argv = json.loads(line)
    with tempfile.TemporaryFile() as said:
        pid = os.fork()
        if pid == 0:
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
            sys.argv, sys.path[0] = argv, os.path.dirname(argv[0])
            runpy.run_path(argv[0], run_name="__main__")
            sys.exit()
        _, status = os.waitpid(pid, 0)
        said.seek(0)
        text = said.read().decode("utf-8", "replace")
    print(json.dumps({"code": os.waitstatus_to_exitcode(status), "said": text}), flush=True)
