#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What an author writes today: a server around onnxruntime, for of-watchdog's
http mode. Usage: peer.py PORT DIRECTORY (with model.onnx)."""
import io
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import onnxruntime
from PIL import Image

session = onnxruntime.InferenceSession(sys.argv[2] + "/model.onnx")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one segment, or Nagle makes it 40 ms
    disable_nagle_algorithm = True

    def read_body(self):
        """of-watchdog sends what it got as chunks."""
        if "Content-Length" in self.headers:
            return self.rfile.read(int(self.headers["Content-Length"]))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def do_POST(self):
        body = self.read_body()
        image = Image.open(io.BytesIO(body)).convert("L").resize((8, 8), Image.BILINEAR)
        x = np.asarray(image, np.float32)[None, None] / 255
        y = session.run(None, {"image": x})[0][0]
        p = np.exp(y - y.max())
        p /= p.sum()
        best = np.argsort(-p)[:3]
        answer = json.dumps({"predictions": [{"label": str(i), "probability": float(p[i])} for i in best]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
