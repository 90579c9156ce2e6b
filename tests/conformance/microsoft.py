# SPDX-License-Identifier: Apache-2.0
"""com.microsoft's operators, which ONNX Runtime's optimiser writes into models; what
they answer is what onnxruntime answers."""
import numpy as np
import onnxruntime
from onnx import ValueInfoProto, helper, numpy_helper

OPSETS = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
f32, i32, i64, u8 = np.float32, np.int32, np.int64, np.uint8
rng = np.random.default_rng(5)
CASES = []


def rand(*shape):
    return (rng.standard_normal(shape) * .5).astype(f32)


def case(name, op, inputs, outputs=1, constants=(), **attributes):
    """<inputs>: arrays, None for one that is left out; <constants>: numbers of those
    that are initializers; <outputs>: how many, or which (True, False, ...)."""
    names = ["" if x is None else f"i{k}" for k, x in enumerate(inputs)]
    wanted = [True] * outputs if isinstance(outputs, int) else outputs
    outs = [f"o{k}" if w else "" for k, w in enumerate(wanted)]
    domain = "" if op == "SimplifiedLayerNormalization" else "com.microsoft"
    nodes = [helper.make_node(op, names, outs, domain=domain, **attributes)]
    ports = [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
             for k, (n, x) in enumerate(zip(names, inputs)) if x is not None and k not in constants]
    graph = helper.make_graph(
        nodes, "g", ports, [ValueInfoProto(name=o) for o in outs if o],
        [numpy_helper.from_array(inputs[k], names[k]) for k in constants])
    model = helper.make_model(graph, ir_version=8, opset_imports=OPSETS)
    feed = {n: x for k, (n, x) in enumerate(zip(names, inputs))
            if x is not None and k not in constants}
    CASES.append((f"{op.lower()}_{name}", model, feed))


def convolutions():
    x, w, b = rand(1, 4, 6, 5), rand(6, 2, 3, 3), rand(6)
    z = rand(1, 6, 6, 5)
    common = {"group": 2, "pads": [1, 1, 1, 1]}
    for act, params in (("Relu", None), ("Sigmoid", None), ("Tanh", None),
                        ("Clip", [-.2, .4]), ("LeakyRelu", [.1]), ("HardSigmoid", [.3, .4])):
        more = {} if params is None else {"activation_params": params}
        case(act.lower(), "FusedConv", [x, w, b], constants=(1, 2), activation=act, **common,
             **more)
    case("residual", "FusedConv", [x, w, b, z], activation="Relu", **common)
    case("same", "FusedConv", [x, w], activation="Relu", group=2, auto_pad="SAME_UPPER",
         strides=[2, 2])


def normalisations():
    x, s, g, b, e = rand(2, 3, 8), rand(2, 3, 8), rand(8), rand(8), rand(8)
    case("plain", "SkipLayerNormalization", [x, s, g, b])
    case("no_beta", "SkipLayerNormalization", [x, s, g], epsilon=1e-3)
    case("bias", "SkipLayerNormalization", [x, s, g, b, e], constants=(2, 3, 4))
    case("sum", "SkipLayerNormalization", [x, s, g, b, e], [True, False, False, True])
    case("sum_no_bias", "SkipLayerNormalization", [x, s, g, b], [True, False, False, True])
    case("plain", "SkipSimplifiedLayerNormalization", [x, s, g])
    case("bias", "SkipSimplifiedLayerNormalization", [x, s, g, e], [True, False, False, True])
    case("plain", "SimplifiedLayerNormalization", [x, g], axis=-1, epsilon=1e-4)
    ids = rng.integers(0, 9, (2, 5)).astype(i32)
    kind = rng.integers(0, 2, (2, 5)).astype(i32)
    tables = rand(9, 8), rand(7, 8), rand(2, 8)
    mask = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], i32)
    places = rng.integers(0, 7, (2, 5)).astype(i32)
    embed = "EmbedLayerNormalization"
    case("plain", embed, [ids, kind, tables[0], tables[1], tables[2], g, b], [True, False],
         constants=(2, 3, 4, 5, 6))
    case("mask", embed, [ids, kind, tables[0], tables[1], tables[2], g, b, mask], 2)
    case("no_segments", embed, [ids, None, tables[0], tables[1], None, g, b], [True, False])
    case("places", embed, [ids, kind, tables[0], tables[1], tables[2], g, b, None, places],
         [True, False])
    case("sum", embed, [ids, kind, tables[0], tables[1], tables[2], g, b, mask], 3,
         epsilon=1e-3)


def attention():
    x, w, b = rand(2, 4, 8), rand(8, 24), rand(24)
    lengths = np.array([2, 4], i32)
    keys = np.array([[1, 1, 0, 1], [1, 1, 1, 1]], i32)
    rows = np.tril(np.ones((4, 4), i32))[None].repeat(2, 0)
    bias = rand(2, 2, 4, 4)
    past = rand(2, 2, 2, 3, 4)
    case("plain", "Attention", [x, w, b], constants=(1, 2), num_heads=2)
    case("causal", "Attention", [x, w, b], num_heads=2, unidirectional=1)
    case("scale", "Attention", [x, w, b], num_heads=2, scale=.3)
    case("lengths", "Attention", [x, w, b, lengths], num_heads=2)
    case("keys", "Attention", [x, w, b, keys], num_heads=2)
    case("rows", "Attention", [x, w, b, rows], num_heads=2)
    case("bias", "Attention", [x, w, b, None, None, bias], num_heads=2)
    case("keys_and_bias", "Attention", [x, w, b, keys, None, bias], num_heads=2)
    case("past", "Attention", [x, w, b, None, past], 2, num_heads=2, unidirectional=1)
    case("sizes", "Attention", [x, rand(8, 20), rand(20)], num_heads=2,
         qkv_hidden_sizes=[8, 8, 4])
    q, k, v = rand(2, 4, 8), rand(2, 5, 8), rand(2, 5, 8)
    open_keys = np.array([[1, 1, 0, 1, 0], [1, 1, 1, 1, 1]], i32)
    case("plain", "MultiHeadAttention", [q, k, v], num_heads=2)
    case("bias", "MultiHeadAttention", [q, k, v, b], num_heads=2)
    case("keys", "MultiHeadAttention", [q, k, v, None, open_keys], num_heads=2)
    case("scores", "MultiHeadAttention", [q, k, v, None, None, rand(2, 2, 4, 5)], num_heads=2)
    case("past", "MultiHeadAttention", [q, q, q, None, None, None, rand(2, 2, 3, 4),
                                        rand(2, 2, 3, 4)], 3, num_heads=2)


def nbits():
    for bits in (2, 4, 8):
        for n, k, block in ((3, 32, 16), (5, 40, 16), (4, 64, 32)):
            blocks = (k + block - 1) // block
            a = rand(2, 3, k)
            w = rng.integers(0, 256, (n, blocks, block * bits // 8)).astype(u8)
            s = np.abs(rand(n * blocks)) + f32(.01)
            z = rng.integers(0, 256, n * ((blocks * bits + 7) // 8)).astype(u8)
            more = {"N": n, "K": k, "bits": bits, "block_size": block}
            tag = f"{bits}_{n}_{k}"
            case(tag, "MatMulNBits", [a, w, s], constants=(1, 2), **more)
            case(tag + "_zero", "MatMulNBits", [a, w, s, z], constants=(1, 2, 3), **more)
            case(tag + "_bias", "MatMulNBits", [a, w, s, z, None, rand(n)],
                 constants=(1, 2, 3, 5), **more)


def collect(out):
    for part in (convolutions, normalisations, attention, nbits):
        part()
    for name, model, feed in CASES:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        try:
            session = onnxruntime.InferenceSession(model.SerializeToString(), options,
                                                   providers=["CPUExecutionProvider"])
            want = session.run(None, feed)
        except Exception as e:  # noqa: BLE001: what ORT does not do is no case
            print(f"conformance: onnxruntime has no {name}: {str(e)[:150]}")
            continue
        for port, value in zip(model.graph.output, want):
            port.type.tensor_type.elem_type = helper.np_dtype_to_tensor_dtype(value.dtype)
        out.add("microsoft", "node", name, model, [(list(feed.values()), want)], 1e-4, 1e-5)
