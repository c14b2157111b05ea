"""Threads of a host that uses the library: exactly those that core/include/nestor/database.h names, whatever OpenMP and BLAS
are told, and none for having loaded it. The host is tests/consumer/thread_host.cc."""

import json
import os
import subprocess
import tempfile
import unittest

HOST = os.environ["NESTOR_THREAD_HOST"]
MODEL = os.path.join(os.environ["NESTOR_SOURCE_DIR"], "tests/fixtures/tiny-model")
# OpenBLAS stays loaded where it knows the processor.
ENVIRONMENTS = [
    {},
    {"OMP_NUM_THREADS": "1"},
    {"OMP_NUM_THREADS": "8", "OPENBLAS_NUM_THREADS": "8"},
    {"OPENBLAS_NUM_THREADS": "8", "OPENBLAS_CORETYPE": "Haswell"},
]
# RocksDB's: one flushes, one compacts, both for good once they are there, and while a database is open for writing a
# timer, which has the name of the program.
ROCKSDB = {"rocksdb:high", "rocksdb:low"}
TIMER = os.path.basename(HOST)[:15]


class HiddenThreadsTest(unittest.TestCase):
    def phases(self, threads, precision, environment):
        clean = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
        with tempfile.TemporaryDirectory() as folder:
            ran = subprocess.run(
                [HOST, MODEL, folder, str(threads), precision], capture_output=True, text=True, env={**clean, **environment}
            )
        self.assertEqual(ran.returncode, 0, ran.stderr)
        lines = [json.loads(line) for line in ran.stdout.splitlines()]
        self.assertEqual(lines[-1]["phase"], "end")
        return {line["phase"]: (line["threads"], line["started"]) for line in lines}

    def check(self, phases, workers, loads_openblas=False):
        """No thread at the start, then the workers of one pool, and RocksDB's own, one of each; none that came and went."""
        self.assertEqual(phases["start"], ([], 0))
        for phase, (names, _) in phases.items():
            self.assertLessEqual(names.count("nestor-worker"), workers, phase)
            others = [name for name in names if name != "nestor-worker"]
            self.assertEqual(len(others), len(set(others)), f"{phase}: {others}")
            self.assertLessEqual(set(others), ROCKSDB | {TIMER}, phase)
        for phase in ("closed", "end"):
            self.assertLessEqual(set(phases[phase][0]), ROCKSDB, phase)
        # RocksDB's two, and at most a timer for each database that was opened; then the workers alone.
        # OpenBLAS's end as soon as it is loaded, but have been started.
        if not loads_openblas:
            self.assertLessEqual(phases["open"][1], len(ROCKSDB) + 2 + workers)
            self.assertLessEqual(phases["closed"][1], len(ROCKSDB) + 2 + workers)
        # Opened again: a timer and the workers, for they end with the last database.
        self.assertLessEqual(phases["end"][1] - phases["closed"][1], 1 + workers)

    def test_with_one_thread_there_are_no_others_but_those_of_rocksdb(self):
        for environment in ENVIRONMENTS:
            for precision in ("int8", "f32"):
                with self.subTest(environment=environment, precision=precision):
                    self.check(self.phases(1, precision, environment), 0, precision == "f32")

    def test_two_databases_and_their_embedders_share_one_pool(self):
        self.check(self.phases(2, "int8", {"OMP_NUM_THREADS": "8"}), 1)


if __name__ == "__main__":
    unittest.main()
