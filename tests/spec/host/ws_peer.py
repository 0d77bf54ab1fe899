# A WebSocket server of python3-websockets: echo, and a few manners by path. Prints its ports.
#   ws_peer.py [SOCKET [CERT KEY]]
import asyncio
import json
import ssl
import sys

import websockets


async def serve(ws, path=None):
    path = path or ws.path
    if path == "/headers":
        await ws.send(json.dumps({k.lower(): v for k, v in ws.request_headers.items()}))
    elif path == "/bye":
        await ws.send("last words")
        await ws.close(4001, "enough")
        return
    elif path == "/cut":
        await ws.send("one")
        ws.transport.abort()
        return
    elif path == "/deaf":
        ws.transport.pause_reading()
        await asyncio.sleep(600)
    elif path == "/ping":
        pong = await ws.ping(b"are you there")
        await asyncio.wait_for(pong, 30)
        await ws.send("ponged")
    elif path == "/pieces":
        await ws.send(["a", "b\u00e9", "c"])
    elif path.startswith("/flood"):
        for i in range(int(path[6:])):
            await ws.send(b"x" * 4096)
        await ws.send("done")
    async for message in ws:
        await ws.send(message)


async def main():
    opts = dict(max_size=64 << 20, subprotocols=["v2", "v1"], ping_interval=None)
    servers = [await websockets.serve(serve, "127.0.0.1", 0, **opts)]
    if len(sys.argv) > 1:
        await websockets.unix_serve(serve, sys.argv[1], **opts)
    if len(sys.argv) > 3:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(sys.argv[2], sys.argv[3])
        servers.append(await websockets.serve(serve, "127.0.0.1", 0, ssl=tls, **opts))
    print(*[s.sockets[0].getsockname()[1] for s in servers], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(main())
