# A kubelet's WebSockets as python3-websockets speaks them: exec and portforward, with a manner by
# the pod's name. Frames: remotecommand subprotocols v4 and v5, port forward v4 (channel byte first;
# each forward channel begins with its port, little-endian). Plain requests are answered with pods.
# Prints two ports: one that speaks v5 and v4, one that speaks v4 only. Ends with its stdin.
import asyncio
import json
import sys
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

import websockets

SUCCESS = b"\x03" + json.dumps({"metadata": {}, "status": "Success"}).encode()
FAILED = b"\x03" + json.dumps({
    "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
    "message": "command terminated with non-zero exit code: exit status 3",
    "details": {"causes": [{"reason": "ExitCode", "message": "3"}]},
}).encode()
INTERNAL = b"\x03" + json.dumps({
    "metadata": {}, "status": "Failure", "reason": "InternalError", "code": 500,
    "message": "error executing command in container: not found",
}).encode()
dials = {}


def is_gone(name):
    return name == "web-1" and dials.get(name, 0) >= 2


def pod(name):
    return {
        "kind": "Pod", "apiVersion": "v1",
        "metadata": {"name": name, "namespace": "default", "uid": name},
        "spec": {"containers": [{"name": "main", "ports": [{"name": "http", "containerPort": 8080}]}]},
        "status": {"phase": "Running", "conditions": [
            {"type": "Ready", "status": "False" if is_gone(name) else "True"}]},
    }


def plain(path):
    name = path.rsplit("/", 1)[-1]
    if name == "pods":
        items = [pod("web-1"), pod("web-2")]
        return {"kind": "PodList", "metadata": {}, "items": items}
    if path.find("/services/") > 0:
        return {"kind": "Service", "metadata": {"name": name}, "spec": {
            "selector": {"app": "web"} if name == "web" else None,
            "ports": [{"port": 80, "targetPort": "http"}]}}
    return pod(name)


async def process(path, headers):
    path = urlsplit(path).path
    if headers.get("upgrade") is None:
        text = json.dumps(plain(path)).encode()
        return HTTPStatus.OK, [("Content-Type", "application/json")], text
    if path.split("/")[-2] == "denied":
        status = {"kind": "Status", "reason": "Forbidden", "code": 403, "message":
                  'pods "denied" is forbidden: User "jane" cannot create resource "pods/exec" '
                  'in API group "" in the namespace "default"'}
        return HTTPStatus.FORBIDDEN, [("Content-Type", "application/json")], json.dumps(status).encode()
    if is_gone(path.split("/")[-2]):
        return HTTPStatus.NOT_FOUND, [], b"gone"


async def execute(ws, name, query):
    if name == "cat":
        got = b""
        async for message in ws:
            if message[:1] == b"\xff":
                break
            got += message[1:]
        await ws.send(b"\x01" + got.upper())
        await ws.send(SUCCESS)
    elif name == "stall":
        await ws.send(b"\x01begun")
        await asyncio.sleep(600)
    else:
        await ws.send(b"\x01")
        await ws.send(b"\x01out: " + " ".join(query["command"]).encode())
        await ws.send(b"\x02err")
        if name == "cut":
            ws.transport.abort()
        elif name != "nostatus":
            await ws.send({"code": FAILED, "broken": INTERNAL, "nonsense": b"\x03{"}.get(name, SUCCESS))


async def forward(ws, name, query):
    dials[name] = dials.get(name, 0) + 1
    port = int(query["ports"][0]).to_bytes(2, "little")
    await ws.send(b"\x00" + port)
    await ws.send(b"\x01" + port)
    async for message in ws:
        if name == "refuses":
            await ws.send(b"\x01connection refused")
            return
        text = message[1:].decode()
        await ws.send(b"\x00" + f"{name}:{query['ports'][0]} {text.upper()}".encode())
        if "quit" in text:
            return


async def serve(ws, path=None):
    parts = urlsplit(path or ws.path)
    name, kind = parts.path.split("/")[-2:]
    await (execute if kind == "exec" else forward)(ws, name, parse_qs(parts.query))


async def main():
    ports = []
    for protocols in (["v5.channel.k8s.io", "v4.channel.k8s.io"], ["v4.channel.k8s.io"]):
        s = await websockets.serve(serve, "127.0.0.1", 0, subprotocols=protocols,
                                   process_request=process, ping_interval=None)
        ports.append(s.sockets[0].getsockname()[1])
    print(*ports, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(main())
