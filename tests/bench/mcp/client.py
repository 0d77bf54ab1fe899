"""Measures MCP servers over stdio, in turns: client.py '{"NAME": [ARGV...], ...}' prints JSON.

Times are in microseconds. A turn starts each server once; what else the machine does in one minute
meets all of them.
"""

import json
import subprocess
import sys
import threading
import time

TURNS, CALLS, PIPELINED = 9, 600, 10000

INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "bench", "version": "1"},
    },
}


def line(message):
    return (json.dumps(message) + "\n").encode()


def call(number):
    return line(
        {
            "jsonrpc": "2.0",
            "id": number,
            "method": "tools/call",
            "params": {"name": "echo", "arguments": {"text": "x" * 32}},
        }
    )


def resident_kib(pid):
    with open(f"/proc/{pid}/status") as status:
        for row in status:
            if row.startswith("VmRSS:"):
                return int(row.split()[1])


def on_cpu_ns(pid):
    with open(f"/proc/{pid}/schedstat") as stat:
        return int(stat.read().split()[0])


def measure(argv, echo):
    """One turn of one server; `echo` says whether it has the tool."""
    before = time.perf_counter_ns()
    proc = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    proc.stdin.write(line(INITIALIZE))
    proc.stdin.flush()
    assert b'"result"' in proc.stdout.readline()
    seen = {"start": (time.perf_counter_ns() - before) / 1000}
    proc.stdin.write(line({"jsonrpc": "2.0", "method": "notifications/initialized"}))
    if echo:
        times, cpu = [], on_cpu_ns(proc.pid)
        for i in range(1, CALLS + 1):
            request = call(i)
            before = time.perf_counter_ns()
            proc.stdin.write(request)
            proc.stdin.flush()
            answer = proc.stdout.readline()
            times.append((time.perf_counter_ns() - before) / 1000)
            assert b'"result"' in answer
        seen["calls"] = times
        seen["cpu"] = (on_cpu_ns(proc.pid) - cpu) / 1000 / CALLS
    else:
        before = time.perf_counter_ns()
        proc.stdin.write(line({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}))
        proc.stdin.flush()
        assert b'"result"' in proc.stdout.readline()
        seen["list"] = (time.perf_counter_ns() - before) / 1000
    seen["rss"] = resident_kib(proc.pid)
    if echo:
        block, got = b"".join(call(i) for i in range(PIPELINED)), 0
        writer = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=proc.stdin)
        before = time.perf_counter_ns()
        # Answers must be read while requests are written, or both sides would wait.


        feeding = threading.Thread(target=lambda: (writer.stdin.write(block), writer.stdin.close()))
        feeding.start()
        while got < PIPELINED:
            assert proc.stdout.readline()
            got += 1
        seen["rate"] = PIPELINED / ((time.perf_counter_ns() - before) / 1e9)
        feeding.join()
        writer.wait()
    before = time.perf_counter_ns()
    proc.stdin.close()
    proc.wait(20)
    seen["end"] = (time.perf_counter_ns() - before) / 1000
    return seen


def main():
    servers = json.loads(sys.argv[1])
    found = {name: [] for name in servers}
    for _ in range(TURNS):
        for name, server in servers.items():
            found[name].append(measure(server["argv"], server["echo"]))
    json.dump(found, sys.stdout)


main()
