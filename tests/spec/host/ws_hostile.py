# A server that answers one handshake a connection, well or as the script on stdin says, and then
# sends what the script says. stdin: {"head": text or null, "pieces": [hex, ...], "pause": seconds,
# "hold": whether to wait for the client's end, "accept": false to break the accept}. Prints its
# port, then for each connection what the client sent after the handshake, as hex.
import base64
import hashlib
import json
import socket
import sys
import time

script = json.loads(sys.stdin.readline())
server = socket.socket()
server.bind(("127.0.0.1", 0))
server.listen(5)
print(server.getsockname()[1], flush=True)
while True:
    peer, _ = server.accept()
    request = b""
    while b"\r\n\r\n" not in request:
        got = peer.recv(65536)
        if not got:
            break
        request += got
    key = ""
    for line in request.decode("latin-1").split("\r\n"):
        if line.lower().startswith("sec-websocket-key:"):
            key = line.split(":", 1)[1].strip()
    digest = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
    head = script.get("head") or (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Accept: @ACCEPT@\r\n" + script.get("more", "") + "\r\n"
    )
    back = b""
    try:
        first = head.replace("@ACCEPT@", base64.b64encode(digest).decode()).encode("latin-1")
        pieces = [bytes.fromhex(p) for p in script.get("pieces", [])]
        if script.get("together") and pieces:
            first += pieces.pop(0)
        peer.sendall(first)
        for piece in pieces:
            time.sleep(script.get("pause", 0))
            peer.sendall(piece)
        if script.get("hold"):
            peer.settimeout(60)
            while True:
                got = peer.recv(65536)
                if not got:
                    break
                back += got
    except OSError:
        pass
    peer.close()
    print(back.hex() or "-", flush=True)
