#!/usr/bin/env python3
"""Make tests/fixtures/tiny-model: EmbeddingGemma's architecture and file layout with random weights, and what
must come out of it, computed here by an independent forward pass in float64.

usage: make_tiny_model.py [FOLDER]                      needs numpy and sentencepiece (pip)
       make_tiny_model.py --check-genuine MODEL GOLDEN  proves the forward pass on the genuine model:
                                                        its vectors against those of GOLDEN (tests/golden)
"""
import json
import struct
import sys
from pathlib import Path

import numpy as np
import sentencepiece

SEED = 20260101
CONFIG = {
    "architectures": ["Gemma3TextModel"],
    "attention_bias": False,
    "attn_logit_softcapping": None,
    "bos_token_id": 2,
    "dtype": "float32",
    "eos_token_id": 1,
    "head_dim": 64,
    "hidden_activation": "gelu_pytorch_tanh",
    "hidden_size": 32,
    "intermediate_size": 48,
    "layer_types": ["sliding_attention"] * 5 + ["full_attention"],
    "max_position_embeddings": 96,
    "model_type": "gemma3_text",
    "num_attention_heads": 3,
    "num_hidden_layers": 6,
    "num_key_value_heads": 1,
    "pad_token_id": 0,
    "query_pre_attn_scalar": 64,
    "rms_norm_eps": 1e-06,
    "rope_local_base_freq": 10000.0,
    "rope_scaling": None,
    "rope_theta": 1000000.0,
    "sliding_window": 16,
    "use_bidirectional_attention": True,
}
DENSE = {"2_Dense": (32, 32), "3_Dense": (32, 768)}
PROMPTS = {
    "query": "task: search result | query: ",
    "document": "title: none | text: ",
    "Clustering": "task: clustering | query: ",
    "Classification": "task: classification | query: ",
    "InstructionRetrieval": "task: code retrieval | query: ",
    "STS": "task: sentence similarity | query: ",
}
# Roles as the command line spells them; two of them are named by the model card only.
ROLES = {
    "query": PROMPTS["query"],
    "document": PROMPTS["document"],
    "question-answering": "task: question answering | query: ",
    "fact-checking": "task: fact checking | query: ",
    "classification": PROMPTS["Classification"],
    "clustering": PROMPTS["Clustering"],
    "sentence-similarity": PROMPTS["STS"],
    "code-retrieval": PROMPTS["InstructionRetrieval"],
}
MARS = "Mars is the red planet."
LONG = "The keys of a sorted run are kept in blocks, and each block has its own checksum. "
CASES = [(role, "", MARS) for role in ROLES] + [
    ("document", "Planets", MARS),
    ("document", "none | text: none", MARS),
    ("query", "", ""),
    ("document", "", "   "),
    ("query", "", "<bos> <eos><pad> are plain text here"),
    ("document", "", "nul \0 byte, Zo\u00eb, \u706b\u661f, \U0001f680"),
    ("document", "", LONG),
    ("query", "", LONG * 3),
    ("document", "A title", LONG * 12),
]
TRAINING = (LONG + MARS + " task: search result | query: title: none | text: question answering, fact checking, "
            "classification, clustering, sentence similarity, code retrieval. ")


def read_safetensors(path):
    with open(path, "rb") as f:
        (length,) = struct.unpack("<Q", f.read(8))
        header = json.loads(f.read(length))
    data = np.memmap(path, dtype="<f4", mode="r", offset=8 + length)
    return {name: data[e["data_offsets"][0] // 4:e["data_offsets"][1] // 4].reshape(e["shape"])
            for name, e in header.items() if name != "__metadata__"}


def write_safetensors(path, tensors):
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name in sorted(tensors):
        header[name] = {"dtype": "F32", "shape": list(tensors[name].shape),
                        "data_offsets": [offset, offset + tensors[name].nbytes]}
        offset += tensors[name].nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for name in sorted(tensors):
            f.write(tensors[name].astype("<f4").tobytes())


class Model:
    """Masks instead of skipped windows, one text at a time, all in float64: slow and plain on purpose."""

    def __init__(self, folder):
        folder = Path(folder)
        self.config = json.loads((folder / "config.json").read_text())
        self.weights = read_safetensors(folder / "model.safetensors")
        self.dense = [read_safetensors(folder / m["path"] / "model.safetensors")["linear.weight"]
                      for m in json.loads((folder / "modules.json").read_text())
                      if m["type"].endswith(".Dense")]
        self.tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))

    def tokenize(self, prompted):
        """(ids, tokens before the cut)"""
        context = self.config["max_position_embeddings"]
        ids = [self.config["bos_token_id"]] + self.tokenizer.encode(prompted)
        return ids[:context - 1] + [self.config["eos_token_id"]], len(ids) + 1

    def w(self, name):
        return self.weights[name].astype(np.float64)

    def norm(self, x, name):
        inverse = 1 / np.sqrt((x * x).mean(-1, keepdims=True) + self.config["rms_norm_eps"])
        return x * inverse * (1 + self.w(name))

    @staticmethod
    def rotate(x, base):
        """(heads, tokens, width): pairs (i, i + width / 2)"""
        half = x.shape[-1] // 2
        angles = np.arange(x.shape[1])[:, None] * base ** (-np.arange(half) / half)[None]
        cos, sin = np.cos(angles), np.sin(angles)
        a, b = x[..., :half], x[..., half:]
        return np.concatenate([a * cos - b * sin, b * cos + a * sin], -1)

    def attention(self, x, prefix, local):
        c, tokens = self.config, len(x)
        heads, groups, width = c["num_attention_heads"], c["num_key_value_heads"], c["head_dim"]
        base = c["rope_local_base_freq"] if local else c["rope_theta"]

        def project(name, count):
            return (x @ self.w(f"{prefix}{name}_proj.weight").T).reshape(tokens, count, width).swapaxes(0, 1)

        q = self.rotate(self.norm(project("q", heads), prefix + "q_norm.weight"), base)
        k = self.rotate(self.norm(project("k", groups), prefix + "k_norm.weight"), base)
        k, v = (np.repeat(t, heads // groups, 0) for t in (k, project("v", groups)))
        scores = q @ k.swapaxes(1, 2) * c["query_pre_attn_scalar"] ** -0.5
        if local:
            distance = np.abs(np.arange(tokens)[:, None] - np.arange(tokens)[None])
            scores = np.where(distance <= c["sliding_window"] // 2, scores, -np.inf)
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        out = (scores / scores.sum(-1, keepdims=True)) @ v
        return out.swapaxes(0, 1).reshape(tokens, heads * width) @ self.w(prefix + "o_proj.weight").T

    def feed_forward(self, x, prefix):
        gate = x @ self.w(prefix + "gate_proj.weight").T
        gate = 0.5 * gate * (1 + np.tanh(np.sqrt(2 / np.pi) * (gate + 0.044715 * gate ** 3)))
        return (gate * (x @ self.w(prefix + "up_proj.weight").T)) @ self.w(prefix + "down_proj.weight").T

    def encode(self, ids):
        x = self.weights["embed_tokens.weight"][ids].astype(np.float64) * self.config["hidden_size"] ** 0.5
        for i, kind in enumerate(self.config["layer_types"]):
            p = f"layers.{i}."
            h = self.attention(self.norm(x, p + "input_layernorm.weight"), p + "self_attn.",
                               kind == "sliding_attention")
            x = x + self.norm(h, p + "post_attention_layernorm.weight")
            h = self.feed_forward(self.norm(x, p + "pre_feedforward_layernorm.weight"), p + "mlp.")
            x = x + self.norm(h, p + "post_feedforward_layernorm.weight")
        pooled = self.norm(x, "norm.weight").mean(0)
        for weight in self.dense:
            pooled = weight.astype(np.float64) @ pooled
        return pooled / np.linalg.norm(pooled)


def make_weights(vocabulary):
    random = np.random.default_rng(SEED)
    c = CONFIG
    hidden, inner, width = c["hidden_size"], c["intermediate_size"], c["head_dim"]
    query, key = c["num_attention_heads"] * width, c["num_key_value_heads"] * width
    tensors = {}

    def linear(name, *shape):
        tensors[name] = (random.standard_normal(shape) / shape[-1] ** 0.5).astype(np.float32)

    def norm(name, size):
        tensors[name] = (random.standard_normal(size) * 0.3).astype(np.float32)

    linear("embed_tokens.weight", vocabulary, hidden)
    for i in range(c["num_hidden_layers"]):
        p = f"layers.{i}."
        for name in ("input", "post_attention", "pre_feedforward", "post_feedforward"):
            norm(f"{p}{name}_layernorm.weight", hidden)
        for name, rows in (("q", query), ("k", key), ("v", key)):
            linear(f"{p}self_attn.{name}_proj.weight", rows, hidden)
        linear(p + "self_attn.o_proj.weight", hidden, query)
        norm(p + "self_attn.q_norm.weight", width)
        norm(p + "self_attn.k_norm.weight", width)
        linear(p + "mlp.gate_proj.weight", inner, hidden)
        linear(p + "mlp.up_proj.weight", inner, hidden)
        linear(p + "mlp.down_proj.weight", hidden, inner)
    norm("norm.weight", hidden)
    dense = {name: {"linear.weight": (random.standard_normal((o, i)) / i ** 0.5).astype(np.float32)}
             for name, (i, o) in DENSE.items()}
    return tensors, dense


def write_configs(folder, vocabulary):
    def write(name, value):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(value, indent=1) + "\n")

    write("config.json", {**CONFIG, "vocab_size": vocabulary})
    modules = [("Transformer", ""), ("Pooling", "1_Pooling"), ("Dense", "2_Dense"), ("Dense", "3_Dense"),
               ("Normalize", "4_Normalize")]
    write("modules.json", [{"idx": i, "name": str(i), "path": path, "type": "sentence_transformers.models." + kind}
                           for i, (kind, path) in enumerate(modules)])
    modes = ["cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken"]
    write("1_Pooling/config.json", {"word_embedding_dimension": CONFIG["hidden_size"],
                                    **{"pooling_mode_" + m: m == "mean_tokens" for m in modes},
                                    "include_prompt": True})
    for name, (i, o) in DENSE.items():
        write(name + "/config.json", {"in_features": i, "out_features": o, "bias": False,
                                      "activation_function": "torch.nn.modules.linear.Identity"})
    write("config_sentence_transformers.json", {"prompts": PROMPTS, "similarity_fn_name": "cosine"})


def train_tokenizer(folder):
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([TRAINING] * 4), model_prefix=str(folder / "tokenizer"), vocab_size=400,
        model_type="bpe", byte_fallback=True, add_dummy_prefix=False, remove_extra_whitespaces=False,
        normalization_rule_name="identity", pad_id=0, eos_id=1, bos_id=2, unk_id=3, hard_vocab_limit=False,
        minloglevel=2)
    (folder / "tokenizer.vocab").unlink()


def make(folder):
    folder.mkdir(parents=True, exist_ok=True)
    train_tokenizer(folder)
    vocabulary = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model")).get_piece_size()
    write_configs(folder, vocabulary)
    tensors, dense = make_weights(vocabulary)
    write_safetensors(folder / "model.safetensors", tensors)
    for name, weights in dense.items():
        write_safetensors(folder / name / "model.safetensors", weights)
    model, expected, rows = Model(folder), [], []
    for role, title, text in CASES:
        prompt = ROLES[role].replace("none", title) if title and role == "document" else ROLES[role]
        ids, count = model.tokenize(prompt + text)
        expected.append({"role": role, "title": title, "text": text, "ids": ids, "token_count": count,
                         "truncated": count > len(ids)})
        rows.append(model.encode(ids))
    (folder / "expected.json").write_text(json.dumps(expected, indent=0) + "\n")
    np.save(folder / "expected.npy", np.array(rows, dtype="<f4"))
    size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
    print(f"{folder}: {size} bytes, {vocabulary} pieces, {len(rows)} vectors, "
          f"lengths {[len(e['ids']) for e in expected]}")


def check_genuine(model_folder, golden_folder):
    model = Model(model_folder)
    rows = np.load(Path(golden_folder) / "golden.npy")
    least, count = 1.0, 0
    for item in json.loads((Path(golden_folder) / "golden.json").read_text())["items"]:
        if item["name"] not in ("card_mars", "card_query", "zh", "indent_code", "titled_odd", "long_700"):
            continue
        for axis, role in enumerate(("query", "document")):
            row = model.encode(item[role]["ids"])
            reference = rows[item["row"], axis].astype(np.float64)
            least = min(least, row @ reference / np.linalg.norm(reference))
            count += 1
    print(f"{count} golden vectors, least cosine 1 - {1 - least:.2e}")
    sys.exit(0 if least >= 0.99999 else 1)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--check-genuine"]:
        check_genuine(*sys.argv[2:4])
    else:
        make(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent.parent / "fixtures/tiny-model")
