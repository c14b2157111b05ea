"""What everyone searches: real vectors, more of them made from those, and the exact answers. Makes what is missing only.

usage: search_vectors.py --out FOLDER --data FOLDER --nestor COMMAND --rows N

rows.f32, queries.f32: rows of 768 and nothing else. The first 13,887 rows are passages of CORPORA (cut to 360
characters), embedded by Nestor; each later one is row + (neighbour - other row), one real row moved by a real
difference of neighbours, as in ladder_benchmark. Blocks have seeds of their own: a longer file begins with the shorter.
texts.jsonl: the passages, for the lines that keep texts.
"""

import argparse
import json
import random
import subprocess
from pathlib import Path

import numpy as np

WIDTH, TOP, SEED = 768, 10, 7
CORPORA = [("cosqa-dev", None, 200), ("pydocs-faq", 3800, 150), ("medquad-passages", 3820, 150)]
TEXT_CHARACTERS = 360
BLOCK = 25_000
PAIRED, NEIGHBOURS = 1000, 5
# Scores nearer than this are one score: f32 rounds at 1e-7, and the real passages have duplicates.
TIE = 1e-6


def spread(path, count):
    """So many records, evenly from a file of JSON lines; all where count is None."""
    if not path.is_file():
        names = ", ".join(name for name, _, _ in CORPORA)
        raise SystemExit(f"{path}: no such file; NESTOR_TEST_DATA names the folder with {names}")
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    count = min(count or len(records), len(records))
    return [records[i * len(records) // count] for i in range(count)]


def write_texts(data, folder):
    """texts.jsonl and questions.jsonl."""
    passages, questions = [], []
    for name, passage_count, question_count in CORPORA:
        for record in spread(data / name / "corpus.jsonl", passage_count):
            title = {"title": record["title"]} if record.get("title") else {}
            passages.append({"text": record["text"][:TEXT_CHARACTERS], **title})
        questions += [{"text": r["text"]} for r in spread(data / name / "queries.jsonl", question_count)]
    chance = random.Random(1)
    chance.shuffle(passages)
    chance.shuffle(questions)
    for name, records in (("texts", passages), ("questions", questions)):
        lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")


def embed(nestor, texts, role, out):
    """Rows of the file's texts, by `nestor embed`."""
    command = [*nestor, "embed", "--jsonl", "--role", role]
    partial = out.with_suffix(".partial")
    with texts.open("rb") as given, partial.open("wb") as rows:
        process = subprocess.Popen(command, stdin=given, stdout=subprocess.PIPE)
        for line in process.stdout:
            np.array(json.loads(line)["vector"], np.float32).tofile(rows)
        if process.wait() != 0:
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}; see nestor model pull")
    partial.rename(out)


def neighbour_pairs(base, chance):
    """Pairs (row, one of its nearest others), flat arrays."""
    picked = chance.choice(len(base), min(PAIRED, len(base)), replace=False)
    count = min(NEIGHBOURS, len(base) - 1)
    scores = base[picked] @ base.T
    scores[np.arange(len(picked)), picked] = -2
    nearest = np.argpartition(-scores, count - 1, axis=1)[:, :count]
    return np.repeat(picked, count), nearest.reshape(-1)


def grown_block(base, pairs, number, count):
    """`count` made rows, the block of that number; a shorter one is the beginning of the longer."""
    chance = np.random.default_rng([SEED, number])
    moved, pair = chance.integers(len(base), size=BLOCK), chance.integers(len(pairs[0]), size=BLOCK)
    moved, pair = moved[:count], pair[:count]
    rows = base[moved] + base[pairs[1][pair]] - base[pairs[0][pair]]
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def grow(path, base_count, count):
    """Makes the file at least `count` rows long."""
    base = np.fromfile(path, np.float32, base_count * WIDTH).reshape(-1, WIDTH)
    there = path.stat().st_size // (4 * WIDTH)
    if there >= count:
        return
    pairs = neighbour_pairs(base, np.random.default_rng(SEED))
    with path.open("r+b") as file:
        for number in range((there - base_count) // BLOCK, -(-(count - base_count) // BLOCK)):
            first = base_count + number * BLOCK
            file.seek(first * 4 * WIDTH)
            grown_block(base, pairs, number, min(BLOCK, count - first)).tofile(file)


def rows_of(folder, count):
    return np.memmap(folder / "rows.f32", np.float32, "r").reshape(-1, WIDTH)[:count]


def queries_of(folder, count):
    return np.fromfile(folder / "queries.f32", np.float32, count * WIDTH).reshape(-1, WIDTH)


def tenth_scores(rows, queries):
    """The exact score of the tenth best row of each query: whoever finds a row as good has found one of the ten."""
    best = np.full((len(queries), TOP), -2, np.float32)
    for first in range(0, len(rows), BLOCK):
        scores = np.concatenate([best, queries @ rows[first : first + BLOCK].T], axis=1)
        best = -np.partition(-scores, TOP - 1, axis=1)[:, :TOP]
    return best.min(axis=1)


def found_share(rows, query, ids, tenth):
    """Recall@10 of one answer."""
    ids = sorted(set(ids))
    if not ids:
        return 0.0
    return min(int((rows[ids] @ query >= tenth - TIE).sum()), TOP) / TOP


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--nestor", nargs="+", required=True)
    parser.add_argument("--rows", type=int, required=True)
    options = parser.parse_args()
    if not (options.out / "questions.jsonl").is_file():
        write_texts(options.data, options.out)
    for texts, role, out in (("texts", "document", "rows"), ("questions", "query", "queries")):
        if not (options.out / f"{out}.f32").is_file():
            print(f"embedding {texts}.jsonl", flush=True)
            embed(options.nestor, options.out / f"{texts}.jsonl", role, options.out / f"{out}.f32")
    base_count = len((options.out / "texts.jsonl").read_text(encoding="utf-8").splitlines())
    grow(options.out / "rows.f32", base_count, options.rows)


if __name__ == "__main__":
    main()
