# What a client in Python does for the same work, with the modules that upstream's client imports
# and Debian has: requests, and PyYAML and websockets where they are installed.
#   osmo_peer.py list URL | osmo_peer.py watch URL COUNT
import argparse
import concurrent.futures
import importlib
import json
import resource
import sys
import threading
import time

import requests

for module in ("yaml", "websockets"):  # where they are installed
    try:
        importlib.import_module(module)
    except ImportError:
        pass

parser = argparse.ArgumentParser()
parser.add_argument("command", choices=["list", "watch"])
parser.add_argument("url")
parser.add_argument("count", nargs="?", type=int, default=0)
args = parser.parse_args()
headers = {"x-osmo-user": "alice", "User-Agent": "bench"}

if args.command == "list":
    answer = requests.get(
        args.url + "/api/workflow", params={"all_pools": True, "order": "DESC"}, headers=headers
    ).json()
    for w in answer["workflows"]:
        print("%-10s %-10s %-8s %s" % (w["name"], w["status"], w["user"], w["submit_time"]))
    sys.exit(0)

local = threading.local()


def status(name):
    if not hasattr(local, "session"):
        local.session = requests.Session()
    return local.session.get(args.url + "/api/workflow/" + name, headers=headers).json()["status"]


alive, asked = ["py-%d" % i for i in range(args.count)], 0
began = time.monotonic()
with concurrent.futures.ThreadPoolExecutor(32) as pool:
    while alive:
        round_began = time.monotonic()
        asked += len(alive)
        answers = list(pool.map(status, alive))
        alive = [n for n, s in zip(alive, answers) if s != "COMPLETED"]
        time.sleep(max(0, 1 - (time.monotonic() - round_began)))
used = resource.getrusage(resource.RUSAGE_SELF)
print(
    json.dumps(
        {
            "cpu": used.ru_utime + used.ru_stime,
            "seconds": time.monotonic() - began,
            "asked": asked,
            "rss": used.ru_maxrss,
        }
    )
)
