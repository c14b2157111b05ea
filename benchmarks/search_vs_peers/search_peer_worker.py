"""One peer that answers requests, a JSON object a line, as search_worker does for Nestor (its head lists them).

usage: search_peer_worker.py KIND     KIND: see PEERS
"""

import argparse
import gc
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "peers"))

import search_libraries as libraries  # noqa: E402
import search_stores as stores  # noqa: E402
from peer_process import serve, status_bytes  # noqa: E402

PEERS = {
    "faiss-flat": libraries.FaissFlat,
    "faiss-pq256": libraries.FaissPqPrefix,
    "faiss-pq": libraries.FaissPq,
    "faiss-rabitq": libraries.FaissRabitq,
    "faiss-hnsw": libraries.FaissHnsw,
    "hnswlib": libraries.Hnswlib,
    "usearch": libraries.Usearch,
    "zvec": stores.Zvec,
    "zvec-rabitq": stores.ZvecRabitq,
    "qdrant-edge": stores.QdrantEdge,
    "lancedb": stores.Lance,
    "chroma": stores.Chroma,
    "sqlite-vec": stores.SqliteVec,
}
MEMORY = {"anonymous": ("RssAnon", "RssShmem"), "mapped": ("RssFile",)}


def resident():
    return {name: status_bytes(*fields) for name, fields in MEMORY.items()}


class Worker:
    def __init__(self, kind):
        self.kind, self.engine, self.queries, self.before = kind, None, None, {}

    def about(self, _request):
        """The library is imported here, so that one that is missing can say so."""
        self.engine = PEERS[self.kind]()
        return {"version": self.engine.version(), "about": self.engine.about}

    def build(self, request):
        count = request["count"]
        rows = np.memmap(request["vectors"], np.float32, "r").reshape(-1, libraries.WIDTH)[:count]
        wall, processor = time.perf_counter(), time.process_time()
        self.engine.build(rows, Path(request["folder"]), request["threads"])
        return {"build_s": time.perf_counter() - wall, "build_cpu_s": time.process_time() - processor}

    def open(self, request):
        self.queries = np.fromfile(request["queries"], np.float32).reshape(-1, libraries.WIDTH)
        gc.collect()
        self.before = resident()
        start = time.perf_counter()
        self.engine.open(Path(request["folder"]))
        seconds = time.perf_counter() - start
        return {"open_s": seconds, "settings": self.engine.settings(), "batches": self.engine.batches}

    def run(self, request):
        milliseconds, ids, setting = [], [], request["setting"]
        self.engine.use(setting)
        for number in request["queries"]:
            row = self.queries[number]
            start = time.perf_counter()
            found = self.engine.search(row, setting)
            milliseconds.append(1e3 * (time.perf_counter() - start))
            ids.append(found)
            if sum(milliseconds) > 1e3 * request["budget_s"]:
                break
        return {"ms": milliseconds, "ids": ids}

    def batch(self, request):
        rows, seconds = self.queries[request["queries"]], []
        self.engine.use(request["setting"])
        for _ in range(request["repeat"]):
            start = time.perf_counter()
            self.engine.search_many(rows, request["setting"], request["threads"])
            seconds.append(time.perf_counter() - start)
        return {"seconds": seconds}

    def memory(self, _request):
        now = resident()
        return {name: now[name] - self.before[name] for name in now}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=PEERS)
    serve(Worker(parser.parse_args().kind))


if __name__ == "__main__":
    main()
