"""`nestor eval` as a program meets it, on a small benchmark and the tiny model of the fixtures."""

import json
import math
import os
import subprocess
import tempfile
import unittest
from pathlib import Path

CLI = os.environ["NESTOR_CLI"]
MODEL = str(Path(os.environ["NESTOR_SOURCE_DIR"]) / "tests/fixtures/tiny-model")
WORDS = "river storage compiler evening signal water keeps measure".split()


CACHE = tempfile.TemporaryDirectory()  # packed models and checksums: never those of whoever runs the tests


def nestor(*arguments, model=MODEL, **environment):
    words = ["--allow-unverified-model", "--model", model] if model else []
    return subprocess.run(
        [CLI, *arguments, *words],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "XDG_CACHE_HOME": CACHE.name, **environment},
    )


PRECISION = json.loads(nestor("model", "info", "--json").stdout)["opens"]["precision"]


def write_lines(path, records):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(r) + "\n" for r in records))


def make_benchmark(folder, documents=40):
    """Documents of a few words, some of them equal; the even ones are judged, four to a query."""
    texts = [f"{WORDS[i % 8]} {WORDS[i // 8 % 8]} {i % 7}" for i in range(documents)]
    write_lines(
        folder / "corpus.jsonl",
        [{"_id": f"d{i}", "title": WORDS[i % 3], "text": t} for i, t in enumerate(texts)],
    )
    write_lines(
        folder / "queries.jsonl", [{"_id": f"q{i}", "text": WORDS[i]} for i in range(6)]
    )
    rows = ["query-id\tcorpus-id\tscore"]
    rows += [f"q{i}\td{i * 8 + j}\t{j // 2}" for i in range(5) for j in (0, 2, 4, 6)]
    (folder / "qrels").mkdir()
    (folder / "qrels/test.tsv").write_text("\n".join(rows) + "\n")
    return folder


def ndcg(run, judgments, cut=10):
    """Written apart from the program's own: linear gains, as trec_eval."""
    gains = [judgments.get(key, 0) / math.log2(rank + 2) for rank, key in enumerate(run[:cut])]
    best = sorted(judgments.values(), reverse=True)[:cut]
    return sum(gains) / sum(g / math.log2(rank + 2) for rank, g in enumerate(best))


class EvalCommand(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name)
        self.benchmark = make_benchmark(self.folder / "bench")

    def evaluate(self, *arguments):
        done = nestor("eval", str(self.benchmark), "--json", *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def assert_refused(self, done, *parts, code=2):
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertEqual(done.stdout, "")
        for part in parts:
            self.assertIn(part, done.stderr)

    def test_the_object_has_what_the_contract_names(self):
        report = self.evaluate()
        for name in ["ndcg@10", "recall@10", "recall@100", "mrr@10", "recall@10_vs_exact"]:
            self.assertGreaterEqual(report[name], 0)
            self.assertLessEqual(report[name], 1)
        self.assertEqual(report["schema_version"], 1)
        self.assertEqual((report["documents"], report["passages"], report["queries"]), (40, 40, 5))
        self.assertEqual(report["precision"], PRECISION)
        self.assertEqual(report["recall@100"], 1)  # 40 documents, 100 asked for
        self.assertEqual(set(report["exact"]), {"plan", "ndcg@10", "recall@10", "recall@100", "mrr@10"})
        self.assertIn("search", report["seconds"])

    def test_an_exact_plan_is_the_exact_search(self):
        report = self.evaluate("--plan", "768")
        self.assertEqual(report["plan"], "768")
        self.assertEqual(report["recall@10_vs_exact"], 1)
        self.assertEqual(report["ndcg@10"], report["exact"]["ndcg@10"])

    def test_several_plans_are_searched_with_one_embedding(self):
        report = self.evaluate("--plan", "128,768", "--plan", "256", "--plan", "auto")
        self.assertEqual([p["plan"] for p in report["plans"]][:2], ["128,768", "256"])
        self.assertEqual(len(report["plans"]), 3)
        self.assertEqual(report["plan"], "128,768")
        self.assertEqual(report["plans"][0]["ndcg@10"], report["ndcg@10"])
        self.assertNotIn("plans", self.evaluate())

    def test_the_run_file_says_what_the_figures_say_and_its_scores_fall(self):
        path = self.folder / "run.trec"
        report = self.evaluate("--run", str(path))
        runs = {}
        for line in path.read_text().splitlines():
            query, zero, key, rank, score, _ = line.split(" ")
            rows = runs.setdefault(query, [])
            self.assertEqual((zero, int(rank)), ("Q0", len(rows) + 1))
            if rows:
                self.assertLess(float(score), rows[-1][1])
            rows.append((key, float(score)))
        judgments = {}
        for line in (self.benchmark / "qrels/test.tsv").read_text().splitlines()[1:]:
            query, key, judgment = line.split("\t")
            judgments.setdefault(query, {})[key] = int(judgment)
        self.assertEqual(set(runs), set(judgments))
        mean = sum(ndcg([k for k, _ in runs[q]], judgments[q]) for q in runs) / len(runs)
        self.assertAlmostEqual(mean, report["ndcg@10"], places=9)

    def test_a_kept_database_embeds_once_and_follows_the_limits(self):
        kept = ["--db", str(self.folder / "kept")]
        self.assertEqual(self.evaluate(*kept)["passages_embedded"], 40)
        again = self.evaluate("--plan", "768", *kept)
        self.assertEqual((again["passages_embedded"], again["passages"]), (0, 40))
        less = self.evaluate("--limit-documents", "25", *kept)
        self.assertEqual((less["passages_embedded"], less["passages"]), (0, 25))
        self.assertEqual(self.evaluate(*kept)["passages_embedded"], 15)

    def test_limits_are_seeded_and_keep_judged_documents(self):
        first = self.evaluate("--limit-documents", "30", "--seed", "5")
        again = self.evaluate("--limit-documents", "30", "--seed", "5")
        self.assertEqual(first["documents"], 30)
        self.assertEqual(first["queries_dropped"], 0)
        self.assertEqual(first["ndcg@10"], again["ndcg@10"])
        few = self.evaluate("--limit-documents", "4")
        self.assertEqual((few["queries"], few["queries_dropped"]), (1, 4))
        self.assertEqual(self.evaluate("--limit-queries", "2")["queries"], 2)

    def test_where_the_title_stands_changes_the_vectors_and_is_said(self):
        slot, joined = self.evaluate(), self.evaluate("--join-title")
        self.assertEqual((slot["title"], joined["title"]), ("slot", "joined"))
        self.assertNotEqual(slot["tokens_embedded"], joined["tokens_embedded"])

    def test_passages_are_split_and_scored_by_document(self):
        text = "\n\n".join(f"# Part {i}\n\n" + "river water storage. " * 12 for i in range(30))
        records = [{"_id": "long", "title": "", "text": text}, {"_id": "short", "text": "compiler"}]
        write_lines(self.benchmark / "corpus.jsonl", records)
        (self.benchmark / "qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\nq0\tlong\t1\nq1\tshort\t1\n")
        path = self.folder / "run.trec"
        report = self.evaluate("--passages", "--run", str(path))
        self.assertTrue(report["split"])
        self.assertGreater(report["passages"], 10)
        self.assertEqual(report["recall@100"], 1)
        keys = [(line.split()[0], line.split()[2]) for line in path.read_text().splitlines()]
        self.assertEqual(len(keys), len(set(keys)))
        self.assertEqual(len(keys), 4)

    def test_for_people_there_is_a_table(self):
        done = nestor("eval", str(self.benchmark))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("nDCG@10", done.stdout)
        self.assertIn("exact", done.stdout)
        self.assertIn("40 documents", done.stdout)

    def test_nothing_is_left_in_the_temporary_folder(self):
        place = self.folder / "tmp"
        place.mkdir()
        done = nestor("eval", str(self.benchmark), TMPDIR=str(place))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(list(place.iterdir()), [])

    def test_bad_input_is_refused_by_file_and_line(self):
        with open(self.benchmark / "corpus.jsonl", "a") as f:
            f.write('{"_id": "broken"}\n')
        self.assert_refused(nestor("eval", str(self.benchmark)), "corpus.jsonl:41", '"text" is missing')
        self.assert_refused(nestor("eval", str(self.folder / "nowhere")), "no such folder")

    def test_options_out_of_range_are_refused_before_any_work(self):
        run = str(self.folder / "no/such/folder/run.trec")
        for arguments, part in [
            (["--plan", "wide"], "--plan"),
            (["--plan", "100"], "100"),
            (["--precision", "int3"], "int3"),
            (["--role", "poet"], "poet"),
            (["--limit-documents", "0"], "--limit-documents"),
            (["--run", run], "--run"),
        ]:
            with self.subTest(arguments):
                self.assert_refused(nestor("eval", str(self.benchmark), *arguments), part)

    def test_without_a_model_it_ends_with_3(self):
        done = nestor("eval", str(self.benchmark), "--model", str(self.folder / "nowhere"), model=None)
        self.assert_refused(done, "nowhere", "nestor model pull", code=3)


if __name__ == "__main__":
    unittest.main()
