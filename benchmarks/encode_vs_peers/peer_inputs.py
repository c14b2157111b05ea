"""What everyone embeds: real passages and a question with their ids, drawn with a fixed seed.

usage: peer_inputs.py --data FOLDER --model FOLDER --out inputs.json [--passages 240]

`mix` are passages of 20 to 400 tokens from the corpora below, shuffled, so that every stretch of it is alike; `one256`
and `query16` are real texts, cut at a word to that many tokens where none has them. Ids are sentencepiece's with the
model's prompts, BOS and EOS; the driver compares their number with what Nestor counted. `calibration` is more of both kinds, for NNCF.
"""

import argparse
import json
import random
from pathlib import Path

from sentencepiece import SentencePieceProcessor

CORPORA = ["medquad-passages", "pydocs-faq", "xquad/de", "xquad/en", "xquad/th"]
BOS, EOS = 2, 1
# For what needs the ranges of activations; none of them is measured.
CALIBRATION_PASSAGES, CALIBRATION_QUERIES = 35, 25


class Inputs:
    def __init__(self, model):
        self.pieces = SentencePieceProcessor(model_file=str(Path(model) / "tokenizer.model"))
        prompts = json.loads((Path(model) / "config_sentence_transformers.json").read_text())["prompts"]
        self.prompts = {"query": prompts["query"], "document": prompts["document"]}

    def item(self, role, title, text):
        prompt = self.prompts[role]
        if role == "document" and title:
            prompt = prompt.replace("none", title)
        ids = [BOS, *self.pieces.encode(prompt + text), EOS]
        return {"role": role, "title": title, "text": text, "ids": ids}

    def cut(self, item, tokens):
        """The item without its last words: the longest form of at most `tokens`."""
        words = item["text"].split(" ")
        while len(item["ids"]) > tokens and len(words) > 1:
            words.pop()
            item = self.item(item["role"], item["title"], " ".join(words))
        return item


def records(path):
    if not path.is_file():
        raise SystemExit(f"{path}: no such file; NESTOR_TEST_DATA names the folder with {', '.join(CORPORA)}")
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def draw(inputs, data, passages, seed):
    chance = random.Random(seed)
    mix, queries = [], []
    for corpus in CORPORA:
        documents = records(data / corpus / "corpus.jsonl")
        chance.shuffle(documents)
        fitting = (inputs.item("document", d.get("title", ""), d["text"]) for d in documents)
        share = -(-(passages + CALIBRATION_PASSAGES) // len(CORPORA))
        mix += [item for item, _ in zip((i for i in fitting if 20 <= len(i["ids"]) <= 400), range(share))]
        queries += [inputs.item("query", "", q["text"]) for q in records(data / corpus / "queries.jsonl")[:400]]
    chance.shuffle(mix)
    longer = [inputs.cut(item, 256) for item in mix if len(item["ids"]) > 256]
    others = [q for q in queries if len(q["ids"]) != 16]
    return {
        "mix": mix[:passages],
        "calibration": mix[passages:] + chance.sample(others, CALIBRATION_QUERIES),
        "one256": [max(longer, key=lambda i: len(i["ids"]))],
        "query16": [next(q for q in queries if len(q["ids"]) == 16)],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--passages", type=int, default=240)
    parser.add_argument("--seed", type=int, default=4)
    options = parser.parse_args()
    drawn = draw(Inputs(options.model), options.data, options.passages, options.seed)
    options.out.write_text(json.dumps(drawn, ensure_ascii=False), encoding="utf-8")
    for name, items in drawn.items():
        lengths = sorted(len(item["ids"]) for item in items)
        print(f"{name}: {len(items)} texts, {sum(lengths)} tokens, {lengths[0]} to {lengths[-1]}")


if __name__ == "__main__":
    main()
