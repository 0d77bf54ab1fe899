# A cluster with OSMO's gateway behind a Service, as python3-websockets speaks it: what lua/pai/k8s
# asks before it forwards, and port forwards (v4.channel.k8s.io: channel byte first, each channel
# begins with its port) in which an HTTP request for the version is answered. Prints its port, and
# ends with its standard input.
import asyncio
import json
import sys
from http import HTTPStatus
from urllib.parse import urlsplit

import websockets

BODY = json.dumps({"major": "6", "minor": "4", "revision": "0", "hash": ""})
ANSWER = ("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
          f"Content-Length: {len(BODY)}\r\n\r\n{BODY}").encode()
POD = {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "envoy", "uid": "1"},
       "spec": {"containers": [{"name": "envoy", "ports": [{"containerPort": 8080}]}]},
       "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
SERVICE = {"kind": "Service", "metadata": {"name": "osmo-gateway"},
           "spec": {"selector": {"app": "envoy"}, "ports": [{"port": 80, "targetPort": 8080}]}}


async def process(path, headers):
    if headers.get("upgrade") is not None:
        return None
    path = urlsplit(path).path
    answer = POD
    if path.endswith("/pods"):
        answer = {"kind": "PodList", "metadata": {}, "items": [POD]}
    elif path.endswith("/services/osmo-gateway"):
        answer = SERVICE
    elif path.endswith("/namespaces/kube-system"):
        answer = {"kind": "Namespace", "metadata": {"name": "kube-system", "uid": "u"}}
    return HTTPStatus.OK, [("Content-Type", "application/json")], json.dumps(answer).encode()


async def forward(ws, path=None):
    port = (8080).to_bytes(2, "little")
    await ws.send(b"\x00" + port)
    await ws.send(b"\x01" + port)
    text = b""
    async for message in ws:
        text += message[1:]
        if b"\r\n\r\n" in text:
            await ws.send(b"\x00" + ANSWER)
            return


async def main():
    server = await websockets.serve(forward, "127.0.0.1", 0, subprotocols=["v4.channel.k8s.io"],
                                    process_request=process, ping_interval=None)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(main())
