"""Runs a program on a terminal of its own and answers one question.

    pty_ask.py PROMPT PROGRAM [ARG ...] < ANSWER

Types the answer when the prompt has appeared, prints all that the terminal showed, and ends with
the program's exit code.
"""
import os
import pty
import sys

prompt, argv = sys.argv[1].encode(), sys.argv[2:]
answer = sys.stdin.buffer.read()
pid, fd = pty.fork()
if pid == 0:
    os.execvp(argv[0], argv)
shown, typed = b"", False
while True:
    try:
        piece = os.read(fd, 4096)
    except OSError:  # EIO: the program is gone
        break
    if not piece:
        break
    shown += piece
    if not typed and prompt in shown:
        os.write(fd, answer)
        typed = True
sys.stdout.buffer.write(shown)
sys.stdout.flush()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
