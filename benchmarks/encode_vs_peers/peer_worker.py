"""One peer that answers requests, a JSON object a line, as encode_worker does for Nestor (its head lists them).

usage: peer_worker.py KIND --out FOLDER --model FOLDER --threads N     KIND: see PEERS in peer_engines.py

Requests have one field more here: "variant", one of those that "load" lists; the driver finds out which is fastest.
Time counts from ids to unit vectors in numpy; sorting by length and padding are in it.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

import numpy as np

import peer_engines


def peak_rss_mb():
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 // 1_000_000
    return 0


def batches(ids, size):
    """Texts of similar length together, longest first: lists of at most `size` indices."""
    order = sorted(range(len(ids)), key=lambda i: -len(ids[i]))
    return [order[first : first + size] for first in range(0, len(order), size)]


class Worker:
    def __init__(self, engine):
        self.engine = engine
        self.cases = {}

    def load(self, request):
        cases = json.loads(Path(request["inputs"]).read_text(encoding="utf-8"))
        self.cases = {name: [item["ids"] for item in items] for name, items in cases.items()}
        start = time.perf_counter()
        self.engine.load()
        engine = self.engine
        return {
            "load_s": time.perf_counter() - start,
            "about": engine.about,
            "model_mb": sum(f.stat().st_size for f in engine.files()) / 1e6,
            "variants": list(engine.variants()),
            "version": engine.version(),
        }

    def encode(self, ids, variant):
        mode, size = variant.split(" x ")
        parts = batches(ids, int(size))
        rows = self.engine.encode([[ids[i] for i in part] for part in parts], mode)
        vectors = np.empty((len(ids), rows[0].shape[1]), np.float32)
        for part, found in zip(parts, rows):
            vectors[part] = found
        return vectors

    def run(self, request):
        ids = [self.cases[request["case"]][i] for i in request["indices"]]
        seconds = []
        for _ in range(request.get("repeat", 1)):
            start = time.perf_counter()
            self.encode(ids, request["variant"])
            seconds.append(time.perf_counter() - start)
        return {"seconds": seconds, "tokens": [len(row) for row in ids]}

    def vectors(self, request):
        ids = [self.cases[request["case"]][i] for i in request["indices"]]
        self.encode(ids, request["variant"]).tofile(request["file"])
        return {"rows": len(ids)}

    def memory(self, _request):
        return {"peak_rss_mb": peak_rss_mb()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=peer_engines.PEERS)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--threads", type=int, required=True)
    options = parser.parse_args()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not stand among the answers
    worker = Worker(peer_engines.PEERS[options.kind](options))
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(getattr(worker, request["op"])(request)), file=answers, flush=True)


if __name__ == "__main__":
    main()
