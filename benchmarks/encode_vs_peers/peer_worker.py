"""One peer that answers requests, a JSON object a line, as encode_worker does for Nestor (its head lists them).

usage: peer_worker.py KIND --out FOLDER --model FOLDER --threads N     KIND: see PEERS in peer_engines.py

Requests have one field more here: "variant", one of those that "load" lists; the driver finds out which is fastest.
Time counts from ids to unit vectors in numpy; sorting by length and padding are in it.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "peers"))

import peer_engines  # noqa: E402
from peer_process import serve, status_bytes  # noqa: E402


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
        return {"peak_rss_mb": status_bytes("VmHWM") // 1_000_000}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=peer_engines.PEERS)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--threads", type=int, required=True)
    options = parser.parse_args()
    serve(Worker(peer_engines.PEERS[options.kind](options)))


if __name__ == "__main__":
    main()
