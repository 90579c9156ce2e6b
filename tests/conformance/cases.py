# SPDX-License-Identifier: Apache-2.0
"""ONNX's own test cases, collected into plain files for the runner.

Sources: the node tests that the `onnx` package generates, those with sizes and axes
as constants instead of inputs, its cases on disk
(simple, pytorch-converted, pytorch-operator), its light models (the graphs of
well-known networks with weights made up), models with functions, com.microsoft's operators, and all of these as Debian's package
libonnx-testdata has them, which is an older ONNX: other opsets, other spellings.

A case is a directory with model.onnx and data (case.h tells its form); index.json
says of each what operator it is about. Collected once for each version.
"""
import glob
import hashlib
import json
import os
import pathlib
import re
import struct
import sys
import warnings

import functions
import microsoft
import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

DEBIAN = pathlib.Path("/usr/share/libonnx-testdata/data")
KINDS = ("simple", "pytorch-converted", "pytorch-operator")
TYPES = {TensorProto.FLOAT, TensorProto.UINT8, TensorProto.INT8, TensorProto.UINT16,
         TensorProto.INT16, TensorProto.INT32, TensorProto.INT64, TensorProto.BOOL,
         TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.UINT32, TensorProto.UINT64,
         TensorProto.BFLOAT16}
# What is left out on purpose, by the name that the tables give it.
STRINGS, SEQUENCES, OPTIONALS = "strings", "sequences", "optionals"
NARROW = "4-bit and 8-bit floats, 2-bit and 4-bit integers"
COMPLEX = "complex numbers"
TRAINING, CLASSICAL, PREVIEW = "training", "classical machine learning (ai.onnx.ml)", "preview"
IMAGES = "image decoding"
OLD = "opsets before 7"
BROKEN = "the case is broken: its data contradict its model"
RANDOM = "random answers (they run; tests/integration/test_random.py checks them)"
CORRECTED = "its answers were corrected in a newer ONNX"


# ---- A case's files ----

def tensor_bytes(port, value):
    """A tensor as case.h has it; None when Hearth has no such type."""
    name, declared = port.name, port.type.tensor_type.elem_type
    if isinstance(value, TensorProto) and declared != value.data_type == TensorProto.UINT16:
        # Before ONNX 1.13 the files of bf16 say that they are u16.
        value.data_type = declared
    if isinstance(value, TensorProto):
        dtype = value.data_type
        value = numpy_helper.to_array(value) if dtype in TYPES else None
    elif isinstance(value, (list, tuple)) or value is None:
        return None
    else:
        value = np.asarray(value)
        try:
            dtype = onnx.helper.np_dtype_to_tensor_dtype(value.dtype)
        except (KeyError, ValueError):
            return None
    if dtype not in TYPES:
        return None
    raw, text = value.tobytes(), name.encode()
    return b"".join((struct.pack("<I", len(text)), text, struct.pack("<II", dtype, value.ndim),
                     struct.pack(f"<{value.ndim}q", *value.shape),
                     struct.pack("<Q", len(raw)), raw))


def data_bytes(model, sets, rtol, atol):
    out = [b"HCASE01\n", struct.pack("<ddI", rtol, atol, len(sets))]
    for inputs, outputs in sets:
        out.append(struct.pack("<II", len(inputs), len(outputs)))
        for ports, values in ((model.graph.input, inputs), (model.graph.output, outputs)):
            for port, value in zip(ports, values):
                tensor = tensor_bytes(port, value)
                if tensor is None:
                    return data_bytes(model, [], rtol, atol)
                out.append(tensor)
    return b"".join(out)


# ---- What a case is about ----

def walk(graph):
    for node in graph.node:
        yield node
        for a in node.attribute:
            for g in ([a.g] if a.HasField("g") else []) + list(a.graphs):
                yield from walk(g)


def type_reason(t):
    kind = t.WhichOneof("value")
    if kind in ("sequence_type", "map_type"):
        return SEQUENCES
    if kind == "optional_type":
        return OPTIONALS
    if kind == "tensor_type" and t.tensor_type.elem_type not in TYPES:
        return dtype_reason(t.tensor_type.elem_type)
    return None


def dtype_reason(dtype):
    if dtype == TensorProto.STRING:
        return STRINGS
    if dtype in (TensorProto.COMPLEX64, TensorProto.COMPLEX128):
        return COMPLEX
    return NARROW if dtype not in TYPES and dtype != 0 else None


def left_out(model):
    """Why a model is out of Hearth's scope, or None."""
    nodes = list(walk(model.graph)) + [n for f in model.functions for n in f.node]
    if any(o.domain in ("", "ai.onnx") and o.version < 7 for o in model.opset_import):
        return OLD
    for n in nodes:
        if n.domain.startswith("ai.onnx.preview"):
            return TRAINING if "training" in n.domain else PREVIEW
        if n.domain == "ai.onnx.ml":
            return CLASSICAL
        if n.op_type.startswith("Random") or n.op_type in ("Bernoulli", "Multinomial"):
            return RANDOM
        if n.op_type == "ImageDecoder":
            return IMAGES
        if n.op_type in ("Gradient", "GraphCall", "Momentum", "Adam", "Adagrad"):
            return TRAINING
        if "Sequence" in n.op_type:
            return SEQUENCES
        if n.op_type.startswith("Optional"):
            return OPTIONALS
        if n.op_type.startswith("String") or n.op_type in ("RegexFullMatch", "TfIdfVectorizer"):
            return STRINGS
    for v in [*model.graph.input, *model.graph.output, *model.graph.value_info]:
        reason = type_reason(v.type)
        if reason:
            return reason
    for n in nodes:
        for a in n.attribute:
            if a.name in ("to", "dtype", "output_dtype") and dtype_reason(a.i):
                return dtype_reason(a.i)
            if a.HasField("t") and dtype_reason(a.t.data_type):
                return dtype_reason(a.t.data_type)
            if n.op_type == "Constant" and a.name.startswith("value_string"):
                return STRINGS
            if a.HasField("tp"):
                return type_reason(a.tp) or OPTIONALS
    if any(a.name == "training_mode" and a.i for n in nodes for a in n.attribute):
        return TRAINING
    return None


def contradicts(model, sets):
    """Two cases of an old ONNX bring inputs of other shapes than their model takes."""
    for inputs, _ in sets:
        for port, value in zip(model.graph.input, inputs):
            shape = getattr(value, "shape", None) or list(getattr(value, "dims", []))
            want = [d.dim_value if d.HasField("dim_value") else None
                    for d in port.type.tensor_type.shape.dim]
            if port.type.tensor_type.HasField("shape") and value is not None and (
                    len(want) != len(shape)
                    or any(w is not None and w != s for w, s in zip(want, shape))):
                return not isinstance(value, (list, tuple))
    return False


def training_mode_input(model, values):
    """Dropout's third input switches it to training."""
    nodes = model.graph.node
    if len(nodes) == 1 and nodes[0].op_type == "Dropout" and len(nodes[0].input) > 2:
        named = dict(zip((i.name for i in model.graph.input), values))
        flag = named.get(nodes[0].input[2])
        return flag is not None and bool(np.asarray(flag).any())
    return False


def array(value):
    return numpy_helper.to_array(value) if isinstance(value, TensorProto) else value


# Of ONNX 1.17, whose QLinearMatMul wrapped around where it has to saturate; these two have other
# zero points since then, too.
WRAPPED = ("test_qlinearmatmul_3D_int8_float16", "test_qlinearmatmul_3D_int8_float32")


def is_corrected(name, old, new):
    """The same inputs, and other answers: a newer ONNX has corrected the case."""
    if new is None or len(old) != len(new):
        return False
    if name in WRAPPED and old is not new:
        return not np.array_equal(array(old[0][1][0]), array(new[0][1][0]))
    for (a_inputs, a_outputs), (b_inputs, b_outputs) in zip(old, new):
        a, b = map(array, a_inputs), map(array, b_inputs)
        if len(a_inputs) != len(b_inputs) or len(a_outputs) != len(b_outputs) or not all(
                isinstance(x, np.ndarray) and isinstance(y, np.ndarray) and x.dtype == y.dtype
                and np.array_equal(x, y) for x, y in zip(a, b)):
            return False
        for x, y in zip(map(array, a_outputs), map(array, b_outputs)):
            if isinstance(x, np.ndarray) and isinstance(y, np.ndarray) and (
                    x.dtype != y.dtype or x.shape != y.shape
                    or not np.allclose(x.astype(np.float64), y.astype(np.float64), rtol=1e-3,
                                       equal_nan=True)):
                return True
    return False


class Collection:
    def __init__(self, directory):
        self.directory = directory
        self.index = {}
        self.operators = {}  # name of a node case -> its operator
        self.newest = {}  # name of a node case -> its sets of data, by the onnx that is installed

    def add(self, source, kind, name, model, sets, rtol, atol):
        case_id = f"{source}/{kind}/{name}"
        directory = self.directory / source / kind / name
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "model.onnx").write_bytes(model.SerializeToString())
        operator, expanded = "(models)", False
        if kind == "node":
            base = re.sub(r"_expanded(_ver\d+)?$", "", name)
            expanded = base != name
            if not expanded and len(model.graph.node) == 1:
                node = model.graph.node[0]
                self.operators[base] = (f"{node.domain}." if node.domain else "") + node.op_type
            operator = self.operators.get(base)
            if operator is None:
                operator = self.operators[base] = max(
                    (n for n in model.graph.node), key=lambda n: n.op_type != "Constant").op_type
        if operator == "DFT":
            atol = max(atol, 1e-5)  # what should be 0 is what f32 left of ONNX's sum
        reason = left_out(model)
        if reason == RANDOM:
            sets = []  # which nothing can be compared with
        if reason is None and contradicts(model, sets):
            reason, sets = BROKEN, []
        if reason is None and kind == "node" and is_corrected(name, sets, self.newest.get(name)):
            reason, sets = CORRECTED, []
        if reason is None and sets and training_mode_input(model, sets[0][0]):
            reason = TRAINING
        (directory / "data").write_bytes(data_bytes(model, sets, rtol, atol))
        self.index[case_id] = {
            "source": source, "kind": kind, "operator": operator, "expanded": expanded,
            "opset": max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")),
                         default=0),
            "nodes": sorted({n.op_type for n in walk(model.graph)}), "left_out": reason}


# ---- The sources ----

def load_pb(path, type_proto):
    kind = type_proto.WhichOneof("value")
    if kind != "tensor_type":
        return None  # a sequence, an optional: not for the runner
    t = TensorProto()
    t.ParseFromString(pathlib.Path(path).read_bytes())
    return t


def disk_sets(directory, model):
    sets = []
    for d in sorted(glob.glob(f"{directory}/test_data_set_*")):
        def values(what, ports):
            n = len(glob.glob(f"{d}/{what}_*.pb"))
            return [load_pb(f"{d}/{what}_{i}.pb", ports[i].type) for i in range(n)]
        sets.append((values("input", model.graph.input), values("output", model.graph.output)))
    return sets


def collect_disk(out, source, data, kinds):
    for kind in kinds:
        for directory in sorted(p for p in (data / kind).glob("*") if (p / "model.onnx").exists()):
            model = onnx.load(directory / "model.onnx")
            limits = {}
            if (directory / "data.json").exists():
                limits = json.loads((directory / "data.json").read_text())
            out.add(source, kind, directory.name, model, disk_sets(directory, model),
                    limits.get("rtol", 1e-3), limits.get("atol", 1e-7))


def collect_light(out, source, data):
    """As ONNX's runner feeds them: a ramp from 0 to 1 for every input."""
    for path in sorted((data / "light").glob("light_*.onnx")):
        model = onnx.load(path)
        weights = {i.name for i in model.graph.initializer}
        inputs = []
        for port in model.graph.input:
            if port.name in weights:
                continue
            shape = [d.dim_value or 1 for d in port.type.tensor_type.shape.dim]
            n = int(np.prod(shape))
            inputs.append((np.arange(n).reshape(shape) / n).astype(np.float32))
        # The runner names tensors by position.
        keep = [i for i in model.graph.input if i.name not in weights]
        outputs = [load_pb(str(path)[:-5] + "_output_0.pb", model.graph.output[0].type)]
        ordered = onnx.ModelProto()
        ordered.CopyFrom(model)
        del ordered.graph.input[:]
        ordered.graph.input.extend(keep + [i for i in model.graph.input if i.name in weights])
        out.add(source, "light", path.stem, ordered, [(inputs, outputs)], 1e-3, 1e-7)


def collect_generated(out, source):
    from onnx.backend.test.case.node import collect_testcases
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        cases = collect_testcases(None)
    for case in cases:
        out.add(source, "node", case.name, case.model, case.data_sets, case.rtol, case.atol)
        out.newest[case.name] = case.data_sets
        variant = with_constants(case)
        if variant is not None:
            out.add("constants", "node", case.name, *variant, case.rtol, case.atol)


def with_constants(case):
    """(model, sets) of a case of one node with its small inputs beyond the first, which
    are sizes and axes for the most part, as constants; None when it has none. That is
    how exporters write them."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    if len(model.graph.node) != 1 or len(case.data_sets) != 1:
        return None
    inputs, outputs = case.data_sets[0]
    kept, keep = [], []
    for k, (port, value) in enumerate(zip(model.graph.input, inputs)):
        if k > 0 and isinstance(value, np.ndarray) and value.ndim <= 1 and value.size <= 64 \
                and type_reason(port.type) is None:
            model.graph.initializer.append(numpy_helper.from_array(value, port.name))
        else:
            kept.append(port)
            keep.append(value)
    if not model.graph.initializer:
        return None
    del model.graph.input[:]
    model.graph.input.extend(kept)
    return model, [(keep, outputs)]


def collect(build):
    """The directory of the cases, made when there is none for this version."""
    here = pathlib.Path(__file__).parent
    mark = hashlib.sha256(b"".join((here / f).read_bytes()
                                   for f in ("cases.py", "functions.py", "microsoft.py"))).hexdigest()[:12]
    name = f"onnx-{onnx.__version__}-{mark}-{'debian' if DEBIAN.exists() else 'alone'}"
    directory = build / "conformance" / name
    if (directory / "index.json").exists():
        return directory
    print(f"conformance: collecting the cases of onnx {onnx.__version__}"
          f"{' and of libonnx-testdata' if DEBIAN.exists() else ''}", file=sys.stderr)
    out = Collection(directory)
    collect_generated(out, "onnx")
    data = pathlib.Path(onnx.__file__).parent / "backend/test/data"
    collect_disk(out, "onnx", data, KINDS)
    collect_light(out, "onnx", data)
    functions.collect(out)
    microsoft.collect(out)
    if DEBIAN.exists():
        collect_disk(out, "debian", DEBIAN, ("node", *KINDS))
    (directory / "index.part").write_text(json.dumps(out.index))
    os.rename(directory / "index.part", directory / "index.json")
    return directory
