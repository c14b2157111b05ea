"""The tiny model of the fixtures as a GGUF in f32, as llama.cpp's converter lays one out. Without a vocabulary: the
folder of the fixtures supplies it (--from)."""

import json
import struct
from pathlib import Path

SHORT_NAMES = [
    ("embed_tokens.", "token_embd."),
    ("pre_feedforward_layernorm", "ffn_norm"),
    ("post_feedforward_layernorm", "post_ffw_norm"),
    ("post_attention_layernorm", "post_attention_norm"),
    ("input_layernorm", "attn_norm"),
    ("self_attn.o_proj", "attn_output"),
    ("self_attn.", "attn_"),
    ("mlp.", "ffn_"),
    ("_proj", ""),
    ("layers.", "blk."),
]
STRING, U32, F32 = 8, 4, 6  # kinds of metadata


def read_safetensors(path):
    """{name: (shape, bytes)} of a file of f32 tensors."""
    data = Path(path).read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    start = 8 + length
    return {n: (t["shape"], data[start + t["data_offsets"][0] : start + t["data_offsets"][1]]) for n, t in header.items()}


def gguf_name(name):
    name = name.removeprefix("model.")
    if name == "norm.weight":
        return "output_norm.weight"
    for ours, theirs in SHORT_NAMES:
        name = name.replace(ours, theirs)
    return name


def plus_one(data):
    """What converters do to norm scales."""
    values = struct.unpack(f"<{len(data) // 4}f", data)
    return struct.pack(f"<{len(values)}f", *(1 + v for v in values))


def text(value):
    return struct.pack("<Q", len(value)) + value.encode()


def write_tiny_gguf(folder, path, dense=True):
    folder = Path(folder)
    config = json.loads((folder / "config.json").read_text())
    tensors = {}
    for name, (shape, data) in read_safetensors(folder / "model.safetensors").items():
        tensors[gguf_name(name)] = (shape, plus_one(data) if len(shape) == 1 else data)
    for module in (2, 3) if dense else ():
        (only,) = read_safetensors(folder / f"{module}_Dense/model.safetensors").values()
        tensors[f"dense_{module}.weight"] = only
    sizes = {
        "context_length": config["max_position_embeddings"],
        "embedding_length": config["hidden_size"],
        "block_count": config["num_hidden_layers"],
        "feed_forward_length": config["intermediate_size"],
        "attention.head_count": config["num_attention_heads"],
        "attention.head_count_kv": config["num_key_value_heads"],
        "attention.key_length": config["head_dim"],
        "attention.value_length": config["head_dim"],
        "attention.sliding_window": config["sliding_window"],
        "pooling_type": 1,
    }
    pairs = [text("general.architecture") + struct.pack("<I", STRING) + text("gemma-embedding")]
    pairs += [text(f"gemma-embedding.{n}") + struct.pack("<II", U32, v) for n, v in sizes.items()]
    for name, value in {"attention.layer_norm_rms_epsilon": config["rms_norm_eps"], "rope.freq_base": config["rope_theta"]}.items():
        pairs.append(text(f"gemma-embedding.{name}") + struct.pack("<If", F32, value))
    listing, body = b"", b""
    for name, (shape, data) in tensors.items():
        listing += text(name) + struct.pack("<I", len(shape)) + b"".join(struct.pack("<Q", s) for s in reversed(shape))
        listing += struct.pack("<IQ", 0, len(body))
        body += data + b"\0" * (-len(data) % 32)
    header = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(pairs)) + b"".join(pairs) + listing
    Path(path).write_bytes(header + b"\0" * (-len(header) % 32) + body)
