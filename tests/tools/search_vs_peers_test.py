"""What search_vs_peers makes of its measurements: the setting that counts, ratios within a round, tables, who is near and
who is missing; and the made vectors, where numpy is there.
"""

import os
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(os.environ.get("NESTOR_SOURCE_DIR", Path(__file__).resolve().parents[2]))
sys.path[:0] = [str(ROOT / "benchmarks" / folder) for folder in ("search_vs_peers", "peers")]

import peer_process  # noqa: E402
import search_report  # noqa: E402

try:
    import numpy as np
except ImportError:
    np = None


def participant(name, points):
    """`points`: {setting: (recall, [[milliseconds, …] a round])}."""
    measured = {setting: {"shares": [recall], "rounds": rounds} for setting, (recall, rounds) in points.items()}
    figures = {"name": name, "version": "1", "about": "x", "rows": 1000, "build_s": 2.0, "build_cpu_s": 3.0, "open_s": 0.01}
    figures |= {"memory": {"anonymous": 3_072_000, "mapped": 104_000}, "disk_bytes": 4_000_000}
    return figures | {"curve": search_report.curve(measured)}


# The machine is twice as slow in the second round.
NESTOR = participant("nestor-index", {"default": (0.995, [[0.1, 0.1, 0.4], [0.2, 0.2, 0.2]])})
QUICK = participant("faiss-pq", {"k_factor 1": (0.9, [[0.05], [0.1]]), "k_factor 10": (0.99, [[0.15], [0.3]])})
SLOW = participant("sqlite-vec", {"bits 50": (0.97, [[10.0], [20.0]]), "all": (1.0, [[30.0], [60.0]])})
SHORT = participant("zvec-rabitq", {"ef 16": (0.8, [[0.1], [0.2]]), "ef 512": (0.985, [[1.0], [2.0]])})
EVERYONE = [NESTOR, QUICK, SLOW, SHORT]


def size_of(everyone, missing=()):
    return {"rows": 1000, "participants": search_report.summaries(everyone), "missing": list(missing)}


def line_of(size):
    line = {"benchmark": "search_vs_peers", "date": "2026-01-01", "commit": "abc", "rounds": 2, "questions_a_round": 1}
    return line | {"build_threads": 2, "batch_threads": 2, "limit_seconds": 300, "sizes": [size]}


class Settings(unittest.TestCase):
    def test_the_fastest_setting_with_the_recall_asked_for_counts(self):
        self.assertEqual(search_report.chosen(QUICK)["setting"], "k_factor 10")
        self.assertEqual(search_report.chosen(SLOW)["setting"], "all")

    def test_a_setting_is_not_chosen_for_being_measured_while_others_worked(self):
        disturbed = participant("faiss-pq", {"k 10": (0.99, [[9.0], [9.0], [2.0]]), "k 20": (0.99, [[4.0], [4.0], [4.0]])})
        self.assertEqual(search_report.chosen(disturbed)["setting"], "k 10")

    def test_who_never_reaches_it_is_shown_with_what_it_finds_and_has_no_ratio(self):
        self.assertIsNone(search_report.chosen(SHORT))
        self.assertEqual(search_report.shown(SHORT)["setting"], "ef 512")
        self.assertIsNone(search_report.times(SHORT, NESTOR))
        row = next(row for row in search_report.table(size_of(EVERYONE)["participants"]) if "RaBitQ" in row)
        self.assertIn("0.985 (short of 0.99)", row)

    def test_a_curve_has_a_point_a_setting_with_its_median_and_its_rounds(self):
        point = NESTOR["curve"][0]
        self.assertEqual((point["p50_ms"], point["p95_ms"], point["questions"]), (0.2, 0.4, 6))
        self.assertEqual(point["round_ms"], [0.1, 0.2])


class Ratios(unittest.TestCase):
    def test_a_ratio_is_made_within_a_round(self):
        self.assertEqual(search_report.times(QUICK, NESTOR), 1.5)
        self.assertEqual(search_report.times(SLOW, NESTOR), 300)

    def test_peers_nearer_than_twice_are_named_and_the_others_are_not(self):
        text = search_report.verdict(size_of(EVERYONE))
        self.assertIn("faiss PQ fastscan (1.50x)", text)
        self.assertNotIn("sqlite", text)

    def test_who_is_missing_is_named_with_the_reason(self):
        text = search_report.verdict(size_of([NESTOR], [{"name": "chroma", "reason": "No module named 'chromadb'"}]))
        self.assertIn("Chroma: No module named 'chromadb'", text)


    def test_who_was_not_asked_at_a_size_is_named_too(self):
        sizes = [size_of(EVERYONE), size_of([NESTOR, QUICK], [{"name": "sqlite-vec", "reason": "slow"}])]
        self.assertEqual(search_report.not_run(sizes[1], sizes), " Not run at this size: zvec HNSW RaBitQ.")
        self.assertEqual(search_report.not_run(sizes[0], sizes), "")


class Tables(unittest.TestCase):
    def test_every_row_has_a_cell_for_every_head(self):
        rows = search_report.table(size_of(EVERYONE)["participants"])
        self.assertEqual(len(rows), 2 + len(EVERYONE))
        self.assertEqual({row.count("|") for row in rows}, {len(search_report.HEAD) + 1})
        self.assertIn("3,072 + 104", rows[2])

    def test_growth_leaves_a_blank_where_somebody_was_left_out(self):
        sizes = [size_of(EVERYONE), size_of([NESTOR, SHORT]) | {"rows": 5000}]
        rows = search_report.growth_table(sizes)
        self.assertIn("| sqlite-vec | 45 |  |", rows)
        self.assertIn("| zvec HNSW RaBitQ | (0.985) | (0.985) |", rows)

    def test_runs_of_several_sizes_are_joined_and_the_later_of_a_size_counts(self):
        first, second = line_of(size_of(EVERYONE)), line_of(size_of([NESTOR]))
        third = line_of(size_of([NESTOR]) | {"rows": 10})
        made = search_report.joined([first, second, third])
        self.assertEqual([(s["rows"], len(s["participants"])) for s in made["sizes"]], [(10, 1), (1000, 1)])

    def test_the_document_names_versions_and_batches(self):
        size = size_of([NESTOR | {"batch_per_second": [7000.0, 9000.0, 8000.0]}, QUICK])
        text = search_report.document(line_of(size))
        self.assertIn("| Nestor, the index | 8,000 |", text)
        self.assertIn("Peers: 1 (x).", text)


class Processes(unittest.TestCase):
    """A worker that answers, one that fails and one that ends."""

    WORKER = "import sys; sys.path.insert(0, {!r}); import peer_process as p\nclass W:\n{}\np.serve(W())"

    def participant(self, body):
        code = self.WORKER.format(str(ROOT / "benchmarks" / "peers"), body)
        one = peer_process.Participant("one", [sys.executable, "-B", "-c", code], patience_seconds=20)
        log = tempfile.TemporaryFile("w")
        self.addCleanup(log.close)
        self.addCleanup(one.stop)
        one.start(log)
        return one

    def test_an_answer_comes_back_whatever_the_library_prints(self):
        one = self.participant("  def twice(self, r):\n    print('noise'); return {'found': 2 * r['n']}")
        self.assertEqual(one.ask("twice", n=21), {"found": 42})
        self.assertEqual(one.ask("twice", n=4), {"found": 8})

    def test_an_exception_is_a_failure_with_its_words_and_the_process_goes_on(self):
        one = self.participant("  def bad(self, r): raise ValueError('no such thing')\n  def good(self, r): return {}")
        with self.assertRaisesRegex(peer_process.Failed, "ValueError: no such thing"):
            one.ask("bad")
        self.assertEqual(one.ask("good"), {})

    def test_a_process_that_ends_is_a_failure(self):
        one = self.participant("  def end(self, r):\n    import os; os._exit(7)")
        with self.assertRaisesRegex(peer_process.Failed, "ended with 7"):
            one.ask("end")
        with self.assertRaises(peer_process.Failed):
            one.ask("end")

    def test_one_that_says_nothing_is_given_up(self):
        one = self.participant("  def sleep(self, r):\n    import time; time.sleep(60)")
        with self.assertRaisesRegex(peer_process.Failed, "no answer to sleep within 0.5 s"):
            one.ask("sleep", patience_seconds=0.5)


@unittest.skipIf(np is None, "SKIPPED: numpy is not installed")
class Vectors(unittest.TestCase):
    def setUp(self):
        import search_vectors

        self.made = search_vectors
        rows = np.random.default_rng(1).standard_normal((40, search_vectors.WIDTH)).astype(np.float32)
        self.base = rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def grown(self, *counts):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "rows.f32"
            self.base.tofile(path)
            for count in counts:
                self.made.grow(path, len(self.base), count)
            return np.fromfile(path, np.float32).reshape(-1, self.made.WIDTH)

    def test_a_longer_file_begins_with_the_shorter_and_rows_have_unit_length(self):
        short, long, in_steps = self.grown(60), self.grown(30_000), self.grown(60, 30_000)
        self.assertTrue(np.array_equal(short, long[:60]))
        self.assertTrue(np.array_equal(long[:60], in_steps[:60]))
        self.assertTrue(np.array_equal(long, in_steps))
        self.assertTrue(np.allclose(np.linalg.norm(long, axis=1), 1, atol=1e-5))

    def test_recall_counts_rows_as_good_as_the_tenth_and_none_twice(self):
        rows = np.concatenate([self.base, self.base[:1]])  # a duplicate of row 0
        queries = self.base[:1]
        tenth = self.made.tenth_scores(rows, queries)[0]
        best = np.argsort(-(rows @ queries[0]))[:10].tolist()
        self.assertEqual(self.made.found_share(rows, queries[0], best, tenth), 1)
        self.assertEqual(self.made.found_share(rows, queries[0], best[:5] * 2, tenth), 0.5)
        self.assertEqual(self.made.found_share(rows, queries[0], [], tenth), 0)


if __name__ == "__main__":
    unittest.main()
