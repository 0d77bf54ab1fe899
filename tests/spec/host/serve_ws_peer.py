# A WebSocket client that sends what it is told, byte for byte. stdin: {"port": n, "head": text or
# null, "more": header lines, "pieces": [hex, ...], "together": the pieces in one write with the
# handshake, "slow": one byte a write, "end": whether it then says no more, "deaf": whether it reads
# only when told, by a line of standard input}. Prints the head of the answer as JSON, then all that
# came after it until the end, as hex.
import base64
import json
import os
import socket
import sys

script = json.loads(sys.stdin.readline())
key = base64.b64encode(os.urandom(16)).decode()
head = script.get("head") or (
    "GET /x HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: @KEY@\r\n" + script.get("more", "") + "\r\n"
)
first = head.replace("@KEY@", key).encode("latin-1")
pieces = [bytes.fromhex(p) for p in script.get("pieces", [])]
peer = socket.create_connection(("127.0.0.1", script["port"]))
peer.settimeout(60)
back = b""
try:
    if script.get("together"):
        first += b"".join(pieces)
        pieces = []
    peer.sendall(first)
    while b"\r\n\r\n" not in back:
        got = peer.recv(65536)
        if not got:
            break
        back += got
    answer, _, back = back.partition(b"\r\n\r\n")
    print(json.dumps(answer.decode("latin-1")), flush=True)
    for piece in pieces:
        for part in [piece[i : i + 1] for i in range(len(piece))] if script.get("slow") else [piece]:
            peer.sendall(part)
    if script.get("end"):
        peer.shutdown(socket.SHUT_WR)
    if script.get("deaf"):
        sys.stdin.readline()
    while True:
        got = peer.recv(65536)
        if not got:
            break
        back += got
except OSError as e:
    print(json.dumps("error: " + str(e)), file=sys.stderr)
print(back.hex() if len(back) < 100000 else "%d bytes" % len(back), flush=True)
