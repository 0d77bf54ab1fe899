# The router's side of exec and port forwards, with python3-websockets, as the public source of
# NVIDIA/OSMO has it (src/service/router/router.py, src/lib/utils/port_forward.py): the client's
# sockets by key, a control connection that names a key for each local connection, JSON sizes.
# Speaks HTTP for /api/router/version. Prints its port; what it was told goes to stdout as JSON.
#   router_peer.py ECHO_PORT
import asyncio
import http
import json
import sys

import websockets

echo_port = int(sys.argv[1])
waiting = {}


def say(**what):
    print(json.dumps(what), flush=True)


async def http_side(path, headers):
    if path == "/api/router/version":
        say(version=True, bearer=headers.get("Authorization"), user=headers.get("x-osmo-user"))
        body = b'{"major": "6", "minor": "4", "revision": "0", "hash": "x"}'
        cookie = [("Set-Cookie", "_osmo_router_affinity=r1; Path=/; HttpOnly")]
        return http.HTTPStatus.OK, cookie + [("Content-Type", "application/json")], body
    if path.endswith("/client/busy"):
        return http.HTTPStatus.SERVICE_UNAVAILABLE, [], b"busy"
    return None


# A shell that knows a few words.
async def shell(ws):
    say(size=json.loads(await ws.recv()))
    await ws.send(b"$ ")
    typed = b""
    async for data in ws:
        if data.startswith(b"\x00RESIZE:"):
            say(resize=json.loads(data[8:]))
            await ws.send(b"resized\r\n")
            continue
        typed += data
        while b"\n" in typed or b"\r" in typed:
            end = min(i for i in (typed.find(b"\n"), typed.find(b"\r")) if i >= 0)
            line, typed = typed[:end], typed[end + 1 :]
            if line == b"exit 3":  # as pai's own engine ends
                await ws.close(1000, "exit code 3")
                return
            if line == b"exit":
                await ws.close(1000)
                return
            if line == b"crash":
                ws.transport.abort()
                return
            await ws.send(b"you said " + line + b"\r\n$ ")


# The task's side of one forwarded connection.
async def to_service(key, ws):
    reader, writer = await asyncio.open_connection("127.0.0.1", echo_port)

    async def up():
        try:
            async for data in ws:
                writer.write(data)
                await writer.drain()
            writer.write_eof()
        except (OSError, websockets.exceptions.ConnectionClosed):
            pass

    task = asyncio.create_task(up())
    try:
        while True:
            data = await reader.read(65536)
            if not data:
                break
            await ws.send(data)
    except websockets.exceptions.ConnectionClosed:
        pass
    await ws.close()
    task.cancel()
    writer.close()


async def control(ws):
    async for data in ws:
        told = json.loads(data)
        say(control=told, binary=isinstance(data, bytes))
        waiting.setdefault(told["key"], asyncio.get_running_loop().create_future()).set_result(1)


async def serve(ws):
    path = ws.path
    headers = ws.request_headers
    say(
        path=path,
        cookie=headers.get("Cookie"),
        bearer=headers.get("Authorization"),
        user=headers.get("x-osmo-user"),
    )
    kind, key = path.split("/")[3], path.split("/")[-1]
    try:
        if kind == "exec" and key.startswith("group-"):
            say(size=json.loads(await ws.recv()))
            await ws.send(b"line 1 of " + key.encode() + b"\r\nhalf a ")
            await ws.send(b"line\n")
            await ws.send(b"the end")
            await ws.close(1000)
        elif kind == "exec" and key == "drop":
            ws.transport.abort()
        elif kind == "exec" and key == "late":
            await ws.close(4000, "no partner")
        elif kind == "exec":
            await shell(ws)
        elif key.startswith("PORTFORWARD-"):
            future = waiting.setdefault(key, asyncio.get_running_loop().create_future())
            await asyncio.wait_for(future, 30)
            await to_service(key, ws)
        elif key == "short":
            await ws.close(4000, "no partner")
        else:
            await control(ws)
    except websockets.exceptions.ConnectionClosed:
        pass


async def echo(reader, writer):
    while True:
        data = await reader.read(65536)
        if not data:
            break
        writer.write(data.upper())
        await writer.drain()
    writer.write(b"bye")
    writer.close()


async def main():
    if echo_port == 0:
        service = await asyncio.start_server(echo, "127.0.0.1", 0)
        globals()["echo_port"] = service.sockets[0].getsockname()[1]
    server = await websockets.serve(
        serve, "127.0.0.1", 0, process_request=http_side, ping_interval=None, max_size=64 << 20
    )
    say(port=server.sockets[0].getsockname()[1])
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(main())
