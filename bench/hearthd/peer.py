# SPDX-License-Identifier: Apache-2.0
"""The server that people write: Flask and onnxruntime, the OIP's JSON in and
out. Served by waitress with as many threads as there are cores, or by Flask's
own threaded server where waitress is not installed.
Usage: peer.py MODEL PORT"""
import os
import sys

import flask
import numpy as np
import onnxruntime

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
app = flask.Flask(__name__)


@app.post("/v2/models/digits/infer")
def infer():
    i = flask.request.get_json(force=True)["inputs"][0]
    x = np.array(i["data"], np.float32).reshape(i["shape"])
    y = session.run(None, {i["name"]: x})[0]
    return {"model_name": "digits", "outputs": [
        {"name": "logits", "datatype": "FP32", "shape": y.shape, "data": y.ravel().tolist()}]}


try:
    import waitress
    waitress.serve(app, host="127.0.0.1", port=int(sys.argv[2]), threads=os.cpu_count())
except ImportError:
    import logging
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app.run("127.0.0.1", int(sys.argv[2]), threaded=True)
