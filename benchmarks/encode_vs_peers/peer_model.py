"""EmbeddingGemma as one torch module, ids to unit vector: what torch runs and the others are exported from.

The body is transformers' own. Its masks are made here, for those it makes itself cannot be traced: padding is masked,
and a local layer sees |q - k| <= 256 (513 keys), which config.json calls a window of 512.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn
from transformers import Gemma3TextModel


class Encoder(nn.Module):
    """(batch, length) ids and a mask, 1 where a token is -> (batch, width), unit length."""

    def __init__(self, folder, dtype=torch.float32):
        super().__init__()
        folder = Path(folder)
        self.body = Gemma3TextModel.from_pretrained(folder, dtype=dtype, attn_implementation="sdpa")
        self.body.config.use_cache = False
        self.reach = json.loads((folder / "config.json").read_text())["sliding_window"] // 2
        self.head = nn.Sequential(*[self._dense(folder / name, dtype) for name in ("2_Dense", "3_Dense")])
        self.eval().requires_grad_(False)

    @staticmethod
    def _dense(folder, dtype):
        (weight,) = load_file(folder / "model.safetensors").values()
        layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
        layer.weight.data = weight.to(dtype)
        return layer

    def pool(self, hidden, weights):
        weights = weights.unsqueeze(-1).to(torch.float32)
        mean = (hidden.float() * weights).sum(1) / weights.sum(1)
        rows = self.head(mean.to(hidden.dtype)).float()
        return rows / rows.pow(2).sum(-1, keepdim=True).sqrt()

    def forward(self, input_ids, attention_mask):
        length = input_ids.shape[1]
        valid = attention_mask.to(torch.bool)[:, None, None, :]
        at = torch.arange(length)
        near = (at[:, None] - at[None, :]).abs() <= self.reach
        full = valid.expand(-1, 1, length, -1)
        masks = {"full_attention": full, "sliding_attention": full & near}
        return self.pool(self.body(input_ids, attention_mask=masks).last_hidden_state, attention_mask)

    def forward_unpadded(self, input_ids):
        """The same for rows of one length: masks are left out where they would hide nothing, which is faster."""
        length = input_ids.shape[1]
        if length <= self.reach + 1:
            masks = {"full_attention": None, "sliding_attention": None}
            hidden = self.body(input_ids, attention_mask=masks).last_hidden_state
            return self.pool(hidden, torch.ones_like(input_ids))
        return self(input_ids, torch.ones_like(input_ids))


def with_plain_norms(module):
    """Its RMSNorms written with a quotient, the form that ONNX Runtime knows how to fuse."""

    def forward(norm, x):
        return x / (x.pow(2).mean(-1, keepdim=True) + norm.eps).sqrt() * (1.0 + norm.weight)

    for part in module.modules():
        if type(part).__name__ == "Gemma3RMSNorm":
            part.forward = forward.__get__(part)
    return module
