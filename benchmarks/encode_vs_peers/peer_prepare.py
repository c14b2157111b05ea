"""Converts one set of weights for every peer and makes the fp32 reference vectors. Does what is missing only.

usage: peer_prepare.py --model FOLDER --inputs inputs.json --out FOLDER [--llama-source FOLDER]

Into --out: openvino/ (IR), openvino-int8/ (NNCF, weights and activations), onnx/ (fp32), onnx-int8/ (dynamic),
gguf/ (Q8_0, by llama.cpp's own converter, Dense layers included) and reference/.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

NAMES = ["input_ids", "attention_mask"]


def encoder(options):
    import torch

    from peer_model import Encoder

    torch.set_num_threads(options.threads)
    return Encoder(options.model)


def example():
    import torch

    ids = torch.randint(3, 1000, (2, 37))
    mask = torch.ones_like(ids)
    mask[1, 29:] = 0
    return ids, mask


def to_openvino(options, out):
    import openvino

    shapes = [openvino.PartialShape([-1, -1])] * 2
    model = openvino.convert_model(encoder(options), example_input=example(), input=shapes)
    for port, name in zip(model.inputs, NAMES):
        port.get_tensor().set_names({name})
    openvino.save_model(model, out / "model.xml")


def to_openvino_int8(options, out):
    import nncf
    import openvino

    items = json.loads(options.inputs.read_text())["calibration"]
    ids = [np.array([item["ids"]]) for item in items]
    dataset = nncf.Dataset([{NAMES[0]: row, NAMES[1]: np.ones_like(row)} for row in ids])
    model = openvino.Core().read_model(options.out / "openvino" / "model.xml")
    quantized = nncf.quantize(
        model, dataset, model_type=nncf.ModelType.TRANSFORMER, subset_size=len(ids), fast_bias_correction=True
    )
    openvino.save_model(quantized, out / "model.xml")


def to_onnx(options, out):
    import torch

    from peer_model import with_plain_norms

    batch, length = torch.export.Dim("batch", max=64), torch.export.Dim("length", max=2048)
    torch.onnx.export(
        with_plain_norms(encoder(options)),
        example(),
        out / "model.onnx",
        input_names=NAMES,
        output_names=["rows"],
        dynamic_shapes=({0: batch, 1: length}, {0: batch, 1: length}),
        dynamo=True,
        external_data=True,
    )


def to_onnx_int8(options, out):
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = onnx.load(options.out / "onnx" / "model.onnx")
    del model.graph.value_info[:]  # the exporter's shapes stand in the way of those the quantizer infers
    quantize_dynamic(
        model,
        out / "model.onnx",
        weight_type=QuantType.QInt8,
        per_channel=True,
        op_types_to_quantize=["MatMul", "Gemm", "Gather"],
        use_external_data_format=False,
    )


def to_gguf(options, out):
    source = options.llama_source
    command = [sys.executable, "-B", "convert_hf_to_gguf.py", "--sentence-transformers-dense-modules"]
    command += ["--outtype", "q8_0", "--outfile", str(out / "model.gguf"), str(options.model.resolve())]
    subprocess.run(command, cwd=source, check=True, env={**os.environ, "PYTHONPATH": str(source / "gguf-py")})


def reference(options, out):
    """The fp32 module, one text at a time: what all vectors are compared with."""
    import torch

    module = encoder(options)
    rows = {}
    with torch.inference_mode():
        cases = json.loads(options.inputs.read_text())
        for name, items in ((name, cases[name]) for name in ("mix", "one256", "query16")):
            rows[name] = np.concatenate([module.forward_unpadded(torch.tensor([i["ids"]])).numpy() for i in items])
    np.savez(out / "reference.npz", **rows)


STEPS = {
    "openvino": to_openvino,
    "openvino-int8": to_openvino_int8,
    "onnx": to_onnx,
    "onnx-int8": to_onnx_int8,
    "gguf": to_gguf,
    "reference": reference,
}
OF_INPUTS = {"openvino-int8", "reference"}


def run_step(name, options):
    """In a process of its own, for these libraries keep what they took; a mark beside the folder says it is whole."""
    hashed = hashlib.sha256(options.inputs.read_bytes() if name in OF_INPUTS else b"").hexdigest()
    done = options.out / f"{name}.done"
    if done.is_file() and done.read_text() == hashed:
        return
    print(f"making {name}", flush=True)
    done.unlink(missing_ok=True)
    (options.out / name).mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, "-B", __file__, *sys.argv[1:], "--step", name], check=True)
    done.write_text(hashed)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--inputs", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--llama-source", type=Path, help="llama.cpp's source folder, for its converter")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--step", choices=STEPS, help="this one alone, whether it is there or not")
    options = parser.parse_args()
    if options.step:
        STEPS[options.step](options, options.out / options.step)
        return
    for name in STEPS:
        if name != "gguf" or options.llama_source:
            run_step(name, options)


if __name__ == "__main__":
    main()
