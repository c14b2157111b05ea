"""What encode_vs_peers makes of its measurements: ratios within a round, tables, the marked section of FIGURES.md."""

import os
import sys
import unittest
from pathlib import Path

ROOT = Path(os.environ.get("NESTOR_SOURCE_DIR", Path(__file__).resolve().parents[2]))
sys.path[:0] = [str(ROOT / "benchmarks" / folder) for folder in ("encode_vs_peers", "peers")]

import peer_record  # noqa: E402
import peer_report  # noqa: E402


def participant(name, rates, milliseconds):
    turns = [{"median_ms": value, "best_ms": value / 2} for value in milliseconds]
    figures = {"name": name, "version": "1", "about": "x", "setting": "single x 4", "peak_rss_mb": 1200, "load_s": 0.05}
    figures |= {"model_mb": 600.0, "cosine_mean": 0.99991, "cosine_min": 0.9991}
    return figures | {"tokens_per_second": rates, "one256": turns, "query16": turns}


# The machine is twice as slow in the second round; which peer is best changes.
NESTOR = participant("nestor-int8", [4000.0, 2000.0, 4000.0], [10.0, 20.0, 10.0])
PEERS = [participant("openvino-bf16", [1000.0, 400.0, 800.0], [40.0, 90.0, 50.0])]
PEERS += [participant("torch-bf16", [500.0, 500.0, 1000.0], [50.0, 80.0, 40.0])]


class Report(unittest.TestCase):
    def test_a_ratio_is_made_with_the_best_peer_of_the_same_round(self):
        of_peers = [peer["tokens_per_second"] for peer in PEERS]
        self.assertEqual(peer_record.ratios(NESTOR["tokens_per_second"], of_peers, True), [4.0, 4.0, 4.0])
        self.assertEqual(peer_record.ratios([10.0, 20.0], [[40.0, 90.0], [50.0, 80.0]], False), [4.0, 4.0])

    def test_a_summary_has_medians_bests_and_for_nestor_alone_the_ratios(self):
        line = peer_report.summary(NESTOR, [NESTOR, *PEERS])
        self.assertEqual(line["tokens_per_second"], {"median": 4000.0, "best": 4000.0})
        self.assertEqual(line["query16"], {"median_ms": 10.0, "best_ms": 5.0})
        self.assertEqual(line["times_best_peer"], {"tokens_per_second": 4.0, "one256": 4.0, "query16": 4.0})
        self.assertNotIn("times_best_peer", peer_report.summary(PEERS[0], [NESTOR, *PEERS]))

    def test_the_table_has_a_row_for_everyone_and_one_for_the_ratios(self):
        rows = peer_report.table([peer_report.summary(one, [NESTOR, *PEERS]) for one in [NESTOR, *PEERS]])
        self.assertEqual(len(rows), 2 + 3 + 1)
        self.assertEqual({row.count("|") for row in rows}, {8})
        self.assertIn("4.00x", rows[-1])

    def test_the_marked_section_is_replaced_and_the_rest_stays(self):
        once = peer_record.replaced("# Figures\n\nmine\n", "encode_vs_peers", "old")
        twice = peer_record.replaced(once + "\nbelow\n", "encode_vs_peers", "new")
        self.assertIn("mine", twice)
        self.assertIn("below", twice)
        self.assertIn("\nnew\n", twice)
        self.assertNotIn("old", twice)
        self.assertEqual(twice.count(peer_record.marks("encode_vs_peers")[0]), 1)


if __name__ == "__main__":
    unittest.main()
