# The part of a kubelet that kube-apiserver asks for logs: GET /containerLogs/NAMESPACE/POD/main,
# over TLS. DIR has server.crt and server.key; the text of NAMESPACE/POD is in the file DIR/logs, one
# JSON object of text by the beginning of the pod's name. Prints its port; ends with its input.
import http.server
import json
import os
import ssl
import sys
import threading

DIR = sys.argv[1]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        parts = self.path.split("?")[0].split("/")
        text = ""
        if len(parts) == 5 and parts[1] == "containerLogs":
            with open(DIR + "/logs", encoding="utf-8") as f:
                known = json.load(f)
            for name in sorted(known, key=len):
                if parts[3].startswith(name):
                    text = known[name]
        stamp = "2026-08-21T12:00:00.000000000Z " if "timestamps=true" in self.path else ""
        body = "".join(stamp + line + "\n" for line in text.splitlines()).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(DIR + "/server.crt", DIR + "/server.key")
server.socket = context.wrap_socket(server.socket, server_side=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_address[1], flush=True)
sys.stdin.read()
os._exit(0)
