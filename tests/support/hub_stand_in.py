"""A stand-in for the Hugging Face Hub on the loopback address.

usage: hub_stand_in.py FOLDER PORT_FILE LOG_FILE [CUT_BYTES]

Serves FOLDER as google/embeddinggemma-300m to `Bearer good-token` (others: 401; `Bearer blocked`: 403), by a redirect
to another host name, as the Hub's own store is one. Understands ranges. With CUT_BYTES it hangs up after so many bytes
of each answer from the start of a file. The same files are open/model-GGUF, to anybody, with the API's listing of
them (a file listing.json in FOLDER is given instead). LOG_FILE gets one line a request: host, path, range, authorization.
"""

import hashlib
import http.server
import json
import os
import sys

FOLDER, PORT_FILE, LOG_FILE = sys.argv[1:4]
CUT_BYTES = int(sys.argv[4]) if len(sys.argv) > 4 else 0
PREFIX = "/google/embeddinggemma-300m/resolve/main/"
OPEN_PREFIX = "/open/model-GGUF/resolve/main/"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        host = self.headers["Host"].split(":")[0]
        authorization = self.headers.get("Authorization", "-")
        wanted = self.headers.get("Range", "-")
        with open(LOG_FILE, "a") as log:
            log.write(f"{host} {self.path} {wanted} {authorization}\n")
        if self.path.startswith(PREFIX):
            self.redirect(authorization)
        elif self.path.startswith(OPEN_PREFIX):
            self.send_file(self.path.removeprefix(OPEN_PREFIX), wanted)
        elif self.path == "/api/models/open/model-GGUF?blobs=true":
            self.send_listing()
        elif self.path.startswith("/api/"):
            self.send_response(401)
            self.end_headers()
        else:
            self.send_file(self.path.removeprefix("/store/"), wanted)

    def redirect(self, authorization):
        if authorization != "Bearer good-token":
            self.send_response(403 if authorization == "Bearer blocked" else 401)
            self.end_headers()
            return
        self.send_response(302)
        self.send_header("Location", f"http://localhost:{self.server.server_port}/store/{self.path[len(PREFIX):]}")
        self.end_headers()

    def send_listing(self):
        siblings = [{"rfilename": "README.md", "size": 7}]
        for name in sorted(os.listdir(FOLDER)):
            if name.endswith(".gguf"):
                with open(os.path.join(FOLDER, name), "rb") as f:
                    data = f.read()
                siblings.append({"rfilename": name, "size": len(data),
                                 "lfs": {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}})
        body = json.dumps({"id": "open/model-GGUF", "siblings": siblings}).encode()
        if os.path.exists(os.path.join(FOLDER, "listing.json")):
            with open(os.path.join(FOLDER, "listing.json"), "rb") as f:
                body = f.read()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def send_file(self, name, wanted):
        with open(os.path.join(FOLDER, name), "rb") as f:
            data = f.read()
        begin = 0
        if wanted != "-":
            begin = int(wanted.removeprefix("bytes=").split("-")[0])
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(data) - begin))
        self.end_headers()
        end = CUT_BYTES if CUT_BYTES and begin == 0 else len(data)
        self.wfile.write(data[begin:end])
        self.close_connection = True

    def log_message(self, *arguments):
        pass


with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
    with open(PORT_FILE + ".new", "w") as f:
        f.write(str(server.server_port))
    os.rename(PORT_FILE + ".new", PORT_FILE)
    server.serve_forever()
