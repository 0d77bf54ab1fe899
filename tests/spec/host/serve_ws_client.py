# A client of python3-websockets against a server of pai.serve that sends everything back.
#   serve_ws_client.py URL
import asyncio
import sys

import websockets


async def main():
    async with websockets.connect(
        sys.argv[1], subprotocols=["b", "a"], max_size=64 << 20, ping_interval=None
    ) as ws:
        assert ws.subprotocol == "a", ws.subprotocol
        for message in ["text \u00e9", b"\x00\xff", "", b"", "x" * 125, "x" * 126, b"y" * 65536]:
            await ws.send(message)
            assert await ws.recv() == message
        await ws.send(["in ", "three ", "pieces"])
        assert await ws.recv() == "in three pieces"
        big = b"z" * (8 << 20)
        await ws.send(big)
        assert await ws.recv() == big
        await asyncio.wait_for(await ws.ping(b"are you there"), 30)
        for i in range(500):
            await ws.send(str(i))
        for i in range(500):
            assert await ws.recv() == str(i)
        await ws.close(4321, "enough")
        print(ws.close_code)


asyncio.run(main())
