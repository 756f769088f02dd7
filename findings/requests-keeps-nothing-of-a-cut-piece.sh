#!/usr/bin/env bash
# A download by requests in pieces of 1 MB keeps nothing of the last piece where the connection is cut.
#
# Response.iter_content(size) of requests 2.34.2 with urllib3 2.7.0 collects a whole piece before it hands it over. Where
# the server closes early, bytes that had arrived are dropped with the error: a file of 900,000 bytes of which 600,000
# came leaves 0 with pieces of 1 MB, and most of them with pieces of 64 KB. A download that is to go on where it ended
# needs small pieces.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env 2>/dev/null || python3 -m virtualenv -q env
env/bin/pip install -q --disable-pip-version-check requests==2.34.2 urllib3==2.7.0
cat > look.py <<'PY'
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests

WHOLE, SENT = 900_000, 600_000


class Cut(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(WHOLE))
        self.end_headers()
        self.wfile.write(bytes(SENT))
        self.close_connection = True

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Cut)
threading.Thread(target=server.serve_forever, daemon=True).start()
kept = {}
for size in (1 << 20, 1 << 16):
    kept[size] = 0
    try:
        for piece in requests.get(f"http://127.0.0.1:{server.server_port}", stream=True).iter_content(size):
            kept[size] += len(piece)
        error = "none"
    except requests.RequestException as found:
        error = type(found).__name__
    print(f"pieces of {size}: {kept[size]} of {SENT} bytes that were sent, error: {error}")
server.shutdown()
assert kept[1 << 20] == 0 and kept[1 << 16] >= 500_000, "requests changed"
print("As described.")
PY
env/bin/python look.py
