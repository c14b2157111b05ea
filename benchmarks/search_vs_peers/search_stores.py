"""The peers that are embedded stores: zvec, Qdrant Edge, sqlite-vec, LanceDB, Chroma. An engine is what
search_libraries.py says; none of these has a text to keep here, only the id and the vector.
"""

import math

from search_libraries import EF, TOP, WIDTH, Engine, number


def blocks(rows, size):
    for first in range(0, len(rows), size):
        yield first, rows[first : first + size]


class Zvec(Engine):
    package = "zvec"
    about = "HNSW m 16, ef_construction 200"

    def __init__(self):
        import zvec

        self.zvec, self.collection = zvec, None

    def _begin(self, threads):
        self.zvec.init(query_threads=1, optimize_threads=threads, log_level=self.zvec.LogLevel.ERROR)

    def parameter(self):
        return self.zvec.HnswIndexParam(metric_type=self.zvec.MetricType.IP, m=16, ef_construction=200)

    def query_parameter(self, setting):
        return self.zvec.HnswQueryParam(ef=number(setting))

    def build(self, rows, folder, threads):
        zvec = self.zvec
        self._begin(threads)
        field = zvec.VectorSchema("v", zvec.DataType.VECTOR_FP32, WIDTH, index_param=self.parameter())
        collection = zvec.create_and_open(str(folder / "collection"), zvec.CollectionSchema("rows", vectors=field))
        for first, block in blocks(rows, 1000):
            docs = [zvec.Doc(id=str(first + i), vectors={"v": row.tolist()}) for i, row in enumerate(block)]
            refused = [status for status in collection.insert(docs) if not status.ok()]
            if refused:
                raise RuntimeError(f"{len(refused)} rows refused: {refused[0].message()}")
        collection.flush()
        collection.optimize(zvec.OptimizeOption(concurrency=threads))
        collection.flush()

    def open(self, folder):
        if self.collection is None:
            self._begin(1)
        self.collection = None  # the lock goes with it
        self.collection = self.zvec.open(str(folder / "collection"), self.zvec.CollectionOption(read_only=True))

    def search(self, row, setting):
        query = self.zvec.Query(field_name="v", vector=row, param=self.query_parameter(setting))
        return [int(doc.id) for doc in self.collection.query(query, topk=TOP, output_fields=[])]


class ZvecRabitq(Zvec):
    about = "HNSW RaBitQ of 7 bits, m 16, ef_construction 200"

    def parameter(self):
        return self.zvec.HnswRabitqIndexParam(metric_type=self.zvec.MetricType.IP, m=16, ef_construction=200)

    def query_parameter(self, setting):
        return self.zvec.HnswRabitqQueryParam(ef=number(setting), is_using_refiner=True)


class QdrantEdge(Engine):
    """`ef`: f32 in the graph; `int8 ef`: the graph over int8, the best rescored from f32."""

    package = "qdrant-edge-py"
    about = "HNSW m 16, ef_construct 100, int8 beside f32, one segment"

    def __init__(self):
        import qdrant_edge

        self.edge, self.shard = qdrant_edge, None

    def settings(self):
        return [f"{kind}ef {ef}" for ef in EF for kind in ("int8 ", "")]

    def config(self, threads):
        edge = self.edge
        return edge.EdgeConfig(
            vectors=edge.EdgeVectorParams(size=WIDTH, distance=edge.Distance.Dot),
            hnsw_config=edge.HnswIndexConfig(
                m=16, ef_construct=100, full_scan_threshold=1000, max_indexing_threads=threads
            ),
            quantization_config=edge.ScalarQuantizationConfig(type=edge.ScalarType.Int8, always_ram=True),
            optimizers=edge.EdgeOptimizersConfig(default_segment_number=1, indexing_threshold=1000),
            max_search_threads=1,
        )

    def build(self, rows, folder, threads):
        edge = self.edge
        path = folder / "shard"
        path.mkdir()
        shard = edge.EdgeShard.create(str(path), self.config(threads))
        for first, block in blocks(rows, 1000):
            points = [edge.Point(first + i, row.tolist()) for i, row in enumerate(block)]
            shard.update(edge.UpdateOperation.upsert_points(points))
        while shard.optimize():
            pass
        shard.flush()
        shard.close()

    def open(self, folder):
        if self.shard:
            self.shard.close()
        self.shard = self.edge.EdgeShard.load(str(folder / "shard"), self.config(1))

    def search(self, row, setting):
        edge = self.edge
        quantization = edge.QuantizationSearchParams(ignore=not setting.startswith("int8"), rescore=True, oversampling=3.0)
        request = edge.SearchRequest(
            query=edge.Query.Nearest(row.tolist()),
            limit=TOP,
            params=edge.SearchParams(hnsw_ef=number(setting), quantization=quantization),
        )
        return [point.id for point in self.shard.search(request)]


class SqliteVec(Engine):
    """`all`: every row; `bits`: the nearest by Hamming distance of the signs, those scored by f32."""

    package = "sqlite-vec"
    about = "vec0, f32 and bit columns"

    def __init__(self):
        import apsw  # Python's own sqlite3 may be built without extensions
        import sqlite_vec

        self.apsw, self.vec, self.base = apsw, sqlite_vec, None

    def settings(self):
        return [f"bits {count}" for count in (50, 100, 200)] + ["all"]

    def _connect(self, folder):
        base = self.apsw.Connection(str(folder / "base.db"))
        base.enable_load_extension(True)
        self.vec.load(base)
        return base

    def build(self, rows, folder, _threads):
        base = self._connect(folder)
        base.execute(f"create virtual table t using vec0(v float[{WIDTH}] distance_metric=cosine, b bit[{WIDTH}])")
        for first, block in blocks(rows, 5000):
            values = ((first + i, row.tobytes(), row.tobytes()) for i, row in enumerate(block))
            with base:
                base.executemany("insert into t(rowid, v, b) values (?, ?, vec_quantize_binary(?))", values)
        base.close()

    def open(self, folder):
        self.base = self._connect(folder)
        self.base.execute("select count(*) from t_rowids").fetchall()

    def search(self, row, setting):
        vector = row.tobytes()
        if setting == "all":
            found = self.base.execute("select rowid from t where v match ? and k = ?", (vector, TOP))
        else:
            found = self.base.execute(
                "select rowid from (select rowid, v from t where b match vec_quantize_binary(?) and k = ?) "
                "order by vec_distance_cosine(v, ?) limit ?",
                (vector, number(setting), vector, TOP),
            )
        return [line[0] for line in found]


class Lance(Engine):
    """`IVF_PQ` or `IVF_HNSW_SQ`; what is found is scored anew by f32 rows (refine_factor)."""

    package = "lancedb"
    about = "IVF_PQ of 96 bytes, about sqrt(N) partitions"

    def __init__(self):
        import lancedb

        self.lance, self.table = lancedb, None

    def settings(self):
        probes = ((5, 5), (10, 5), (20, 5), (20, 10), (40, 10), (80, 10), (160, 20), (320, 40))
        return [f"nprobes {probe} refine {refine}" for probe, refine in probes]

    def index(self, count):
        partitions = 2 ** round(math.log2(math.sqrt(count)))
        return {"index_type": "IVF_PQ", "num_partitions": partitions, "num_sub_vectors": 96}

    def build(self, rows, folder, _threads):
        import numpy as np
        import pyarrow

        def batch(first, block):
            flat = pyarrow.array(np.ascontiguousarray(block).reshape(-1))
            vectors = pyarrow.FixedSizeListArray.from_arrays(flat, WIDTH)
            ids = pyarrow.array(np.arange(first, first + len(block)))
            return pyarrow.RecordBatch.from_arrays([ids, vectors], names=["id", "v"])

        schema = batch(0, rows[:1]).schema
        batches = (batch(first, block) for first, block in blocks(rows, 20_000))
        reader = pyarrow.RecordBatchReader.from_batches(schema, batches)
        table = self.lance.connect(str(folder / "lance")).create_table("t", reader)
        table.create_index(metric="dot", vector_column_name="v", **self.index(len(rows)))

    def open(self, folder):
        self.table = self.lance.connect(str(folder / "lance")).open_table("t")
        self.table.count_rows()

    def search(self, row, setting):
        words = setting.split()
        query = self.table.search(row, vector_column_name="v").distance_type("dot").limit(TOP).select(["id", "_distance"])
        found = query.nprobes(int(words[1])).refine_factor(int(words[3])).to_arrow()
        return found["id"].to_pylist()


class Chroma(Engine):
    package = "chromadb"
    about = "HNSW max_neighbors 16, ef_construction 200"

    def __init__(self):
        import chromadb

        self.chroma, self.collection, self.client, self.folder, self.ef = chromadb, None, None, None, 0

    def _client(self, folder):
        settings = self.chroma.Settings(anonymized_telemetry=False)
        return self.chroma.PersistentClient(str(folder / "chroma"), settings=settings)

    def build(self, rows, folder, threads):
        graph = {"space": "ip", "ef_construction": 200, "max_neighbors": 16, "num_threads": threads}
        collection = self._client(folder).create_collection("rows", configuration={"hnsw": graph}, embedding_function=None)
        for first, block in blocks(rows, 4000):
            collection.add(ids=[str(first + i) for i in range(len(block))], embeddings=block)

    def open(self, folder):
        self.chroma.api.client.SharedSystemClient.clear_system_cache()
        self.client = self._client(folder)
        self.collection = self.client.get_collection("rows", embedding_function=None)
        self.folder, self.ef = folder, 0

    def use(self, setting):
        """A collection that is open keeps the ef_search it was opened with."""
        if self.ef != number(setting):
            self.collection.modify(configuration={"hnsw": {"ef_search": number(setting), "num_threads": 1}})
            self.open(self.folder)
            self.ef = number(setting)

    def search(self, row, _setting):
        return [int(i) for i in self.collection.query(query_embeddings=[row], n_results=TOP, include=[])["ids"][0]]
