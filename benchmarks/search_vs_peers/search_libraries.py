"""The peers that are libraries of indexes: faiss, hnswlib, usearch. One class an index; none imports what it does not use.

An engine has version(), about, settings(), build(rows, folder, threads), open(folder), use(setting), search(row, setting) -> ids and,
where `batches` says so, search_many(rows, setting, threads). Rows are unit vectors, ids their numbers. settings() are
in the order of their cost. Threads: one, but in build and search_many.
"""

from importlib.metadata import version as package_version

TOP = 10
WIDTH = 768
PREFIX = 256  # of the Matryoshka vectors, for the peers that profit from it
BLOCK = 20_000
EF = (16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 1024)


class Engine:
    package = ""
    about = ""
    batches = False

    def version(self):
        return f"{self.package} {package_version(self.package)}"

    def settings(self):
        return [f"ef {ef}" for ef in EF]

    def use(self, setting):
        """What a setting needs before the first search with it; in no figure."""


def number(setting):
    return int(setting.split()[-1])


class Faiss(Engine):
    package = "faiss-cpu"
    batches = True

    def __init__(self):
        import faiss

        self.faiss = faiss
        faiss.omp_set_num_threads(1)
        self.index = None

    def parameters(self, _setting):
        return None

    def build(self, rows, folder, threads):
        self.faiss.omp_set_num_threads(threads)
        index = self.make()
        if not index.is_trained:
            index.train(rows[: min(len(rows), 65_536)])
        for first in range(0, len(rows), BLOCK):
            index.add(rows[first : first + BLOCK])
        self.faiss.write_index(index, str(folder / "index"))

    def open(self, folder):
        self.index = self.faiss.read_index(str(folder / "index"))

    def search(self, row, setting):
        return self.index.search(row[None], TOP, params=self.parameters(setting))[1][0].tolist()

    def search_many(self, rows, setting, threads):
        self.faiss.omp_set_num_threads(threads)
        self.index.search(rows, TOP, params=self.parameters(setting))
        self.faiss.omp_set_num_threads(1)


class FaissFlat(Faiss):
    about = "IndexFlatIP"

    def settings(self):
        return ["all"]

    def make(self):
        return self.faiss.IndexFlatIP(WIDTH)


class FaissHnsw(Faiss):
    about = "IndexHNSWFlat, M 32, efConstruction 80"

    def make(self):
        index = self.faiss.IndexHNSWFlat(WIDTH, 32, self.faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = 80
        return index

    def parameters(self, setting):
        return self.faiss.SearchParametersHNSW(efSearch=number(setting))


class FaissRefined(Faiss):
    """Codes that are scanned, the best k_factor x 10 of them scored by the f32 rows."""

    def settings(self):
        return [f"k_factor {factor}" for factor in (1, 2, 5, 10, 20, 40, 80, 160, 320)]

    def parameters(self, setting):
        return self.faiss.IndexRefineSearchParameters(k_factor=number(setting))

    def make(self):
        self.codes = self.make_codes()  # the refining index only refers to them
        return self.faiss.IndexRefineFlat(self.codes)


class FaissPq(FaissRefined):
    about = "IndexPQFastScan 384x4 bits over 768, refined"

    def make_codes(self):
        return self.faiss.IndexPQFastScan(WIDTH, WIDTH // 2, 4, self.faiss.METRIC_INNER_PRODUCT)


class FaissPqPrefix(FaissRefined):
    about = "IndexPQFastScan 128x4 bits over the first 256 components, refined by all 768"

    def make_codes(self):
        faiss = self.faiss
        self.cut = faiss.RemapDimensionsTransform(WIDTH, PREFIX, False)
        self.scan = faiss.IndexPQFastScan(PREFIX, PREFIX // 2, 4, faiss.METRIC_INNER_PRODUCT)
        return faiss.IndexPreTransform(self.cut, self.scan)


class FaissRabitq(FaissRefined):
    about = "IndexRaBitQFastScan over 768, refined"

    def make_codes(self):
        return self.faiss.IndexRaBitQFastScan(WIDTH, self.faiss.METRIC_INNER_PRODUCT)


class Hnswlib(Engine):
    package = "hnswlib"
    about = "M 16, ef_construction 200"
    batches = True

    def __init__(self):
        import hnswlib

        self.hnswlib, self.index = hnswlib, None

    def build(self, rows, folder, threads):
        index = self.hnswlib.Index(space="ip", dim=WIDTH)
        index.init_index(max_elements=len(rows), M=16, ef_construction=200)
        for first in range(0, len(rows), BLOCK):
            block = rows[first : first + BLOCK]
            index.add_items(block, range(first, first + len(block)), num_threads=threads)
        index.save_index(str(folder / "index"))

    def open(self, folder):
        self.index = self.hnswlib.Index(space="ip", dim=WIDTH)
        self.index.load_index(str(folder / "index"))

    def use(self, setting):
        self.index.set_ef(number(setting))

    def search(self, row, _setting):
        return self.index.knn_query(row, k=TOP, num_threads=1)[0][0].tolist()

    def search_many(self, rows, _setting, threads):
        self.index.knn_query(rows, k=TOP, num_threads=threads)


class Usearch(Engine):
    package = "usearch"
    about = "bf16, connectivity 16, expansion_add 128"
    batches = True

    def __init__(self):
        from usearch.index import Index

        self.kind, self.index = Index, None

    def _new(self):
        return self.kind(ndim=WIDTH, metric="ip", dtype="bf16", connectivity=16, expansion_add=128)

    def build(self, rows, folder, threads):
        import numpy as np

        index = self._new()
        for first in range(0, len(rows), BLOCK):
            block = np.ascontiguousarray(rows[first : first + BLOCK])
            index.add(np.arange(first, first + len(block), dtype=np.uint64), block, threads=threads)
        index.save(str(folder / "index"))

    def open(self, folder):
        self.index = self._new()
        self.index.load(str(folder / "index"))

    def use(self, setting):
        self.index.expansion_search = number(setting)

    def search(self, row, _setting):
        return self.index.search(row, TOP, threads=1).keys.tolist()

    def search_many(self, rows, _setting, threads):
        self.index.search(rows, TOP, threads=threads)
