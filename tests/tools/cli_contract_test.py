"""The contracts of the command line that other programs lean on, with the tiny model."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import cli_harness


class IndexAndSearch(cli_harness.CliTest):
    def setUp(self):
        super().setUp()
        self.put("ops/security.md", "# Key rotation\n\nIntro words.\n\n## Schedule\n\nKeys are rotated every 90 days.\n")
        self.put("cats.txt", "cats purr at night\n")

    def test_index_reports_and_search_answers_with_file_and_lines(self):
        report = self.ok("index", "docs", "--json").json()
        self.assertEqual(report["schema_version"], 1)
        self.assertEqual((report["files"], report["added"], report["precision"]), (2, 2, cli_harness.PRECISION))
        ran = self.ok("search", "docs", "cats purr at night", "--json")
        found = ran.json()
        self.assertEqual(found["schema_version"], 1)
        self.assertEqual(found["query"], "cats purr at night")
        self.assertEqual(found["precision"], cli_harness.PRECISION)
        self.assertIn("coarse_width", found["explain"])
        for hit in found["hits"]:
            need = {"key", "passage", "score", "title", "text", "metadata", "path", "bytes", "lines"}
            self.assertLessEqual(need, set(hit))
            self.assertEqual(hit["path"], "docs/" + hit["key"])
            self.assertEqual(hit["metadata"], {"path": hit["key"]})
            text = (self.scratch / hit["path"]).read_bytes()
            begin, end = hit["bytes"]
            self.assertEqual(text[begin:end].decode(), hit["text"])
            first, last = hit["lines"]
            self.assertIn(hit["text"].splitlines()[0], text.decode().splitlines()[first - 1 : last])
            self.assertLessEqual(abs(hit["score"]), 1.0001)
        scores = [hit["score"] for hit in found["hits"]]
        self.assertEqual(scores, sorted(scores, reverse=True))

    def test_people_get_path_lines_score_title_and_passage(self):
        self.ok("index", "docs")
        ran = self.ok("search", "docs", "keys")
        self.assertRegex(ran.text, r'docs/ops/security\.md:\d+-\d+  -?0\.\d{3}  "Key rotation"')
        self.assertIn("    Keys are rotated every 90 days.", ran.text)
        self.assertNotIn("\x1b", ran.text + ran.errors)
        self.assertRegex(ran.errors, r"\d results in .* ms  \(.*" + cli_harness.PRECISION)
        # By the database's own name the paths are real ones.
        report = self.ok("index", "docs", "--json").json()
        ran = self.ok("search", report["database"], "keys")
        self.assertIn(f"{os.path.realpath(self.docs)}/ops/security.md:", ran.text)

    def test_jsonl_prints_one_hit_a_line(self):
        self.ok("index", "docs")
        hits = self.ok("search", "docs", "keys", "-k", "2", "--jsonl").lines()
        self.assertEqual(len(hits), 2)
        for hit in hits:
            self.assertEqual((hit["schema_version"], hit["precision"]), (1, cli_harness.PRECISION))

    def test_folder_and_question_index_then_answer(self):
        ran = self.ok("docs", "cats purr at night")
        self.assertIn("cats.txt:1", ran.text)
        self.assertIn("indexed docs", ran.errors)
        self.put("new.txt", "a new thing\n")
        ran = self.ok("docs", "a new thing", "--json")
        self.assertIn("new.txt", [hit["key"] for hit in ran.json()["hits"]])
        self.assertIn("added 1", ran.errors)
        self.assertEqual(self.ok("docs", "a new thing", "--quiet").errors, "")

    def test_a_word_that_is_a_command_wins_over_a_folder(self):
        (self.scratch / "stats").mkdir()
        (self.scratch / "stats" / "a.md").write_text("text")
        self.refused("stats", says=["DB is required"])
        self.ok("./stats", "text")

    def test_the_index_lies_in_the_data_folder_and_never_in_the_folder(self):
        before = sorted(p.name for p in self.docs.rglob("*"))
        report = self.ok("index", "docs", "--json").json()
        self.assertEqual(os.path.dirname(report["database"]), str(self.scratch / "data/nestor/indexes"))
        self.assertEqual(sorted(p.name for p in self.docs.rglob("*")), before)
        # The same folder by another name is the same index.
        os.symlink(self.docs, self.scratch / "alias")
        again = self.ok("index", "alias", "--json").json()
        self.assertEqual((again["database"], again["unchanged"]), (report["database"], 2))

    def test_texts_called_like_a_databases_files_are_documents(self):
        for name in ("NESTOR", "WATERMARK", "LOCK", "CURRENT", "REPAIR", "MANIFEST-1", "cache/a.md", "rocksdb/CURRENT", "heroes/NESTOR"):
            self.put(name, f"a text called {name}\n")
        report = self.ok("index", "docs", "--json").json()
        self.assertEqual((report["files"], report["skipped"]), (11, []))
        self.assertEqual(self.ok("get", "docs", "heroes/NESTOR").text, "a text called heroes/NESTOR\n")
        self.ok("docs", "a text")
        self.ok("stats", "docs")
        # A database among the documents is passed over, whole or not.
        self.ok("index", "docs", "--db", str(self.docs / "inside"))
        for left in ("whole", "left"):
            report = self.ok("index", "docs", "--json").json()
            self.assertEqual([(s["path"], s["reason"]) for s in report["skipped"]], [("inside", "Nestor database")], left)
            (self.docs / "inside/NESTOR").unlink(missing_ok=True)
        self.refused("index", "docs/inside", code=6, says=["NESTOR is missing or damaged", "nestor repair"])
        self.refused("add", "docs", "--key", "k", input=b"t", says=["is no Nestor database and not empty"])

    def test_db_names_another_place(self):
        report = self.ok("index", "docs", "--db", self.db, "--json").json()
        self.assertEqual(report["database"], self.db)
        self.ok("search", "docs", "cats", "--db", self.db)
        self.ok("search", self.db, "cats")
        self.refused("search", "docs", "cats", says=["nestor index docs"])
        self.refused("index", self.db, says=["is a database"])

    def test_a_rerun_embeds_only_what_changed(self):
        self.ok("index", "docs")
        report = self.ok("index", "docs", "--json").json()
        self.assertEqual((report["unchanged"], report["passages_embedded"]), (2, 0))
        self.put("cats.txt", "cats sleep by day\n")
        (self.docs / "ops/security.md").unlink()
        report = self.ok("index", "docs", "--json").json()
        self.assertEqual((report["updated"], report["removed"], report["unchanged"]), (1, 1, 0))

    def test_get_delete_stats_and_verify(self):
        self.ok("index", "docs", "--db", self.db)
        self.assertEqual(self.ok("get", self.db, "cats.txt").out, b"cats purr at night\n")
        document = self.ok("get", self.db, "ops/security.md", "--json").json()
        self.assertEqual(document["title"], "Key rotation")
        self.assertEqual(document["metadata"], {"path": "ops/security.md"})
        self.refused("get", self.db, "none", code=1, says=["none"])
        stats = self.ok("stats", self.db, "--json").json()
        self.assertEqual(stats["collections"][0]["documents"], 2)
        self.assertEqual(stats["collections"][0]["precision"], cli_harness.PRECISION)
        self.assertIn("2 documents", self.ok("stats", self.db).text)
        self.assertTrue(self.ok("verify", self.db, "--json").json()["ok"])
        self.assertIn("all is well", self.ok("verify", self.db).text)
        self.assertEqual(self.ok("delete", self.db, "cats.txt", "none").text, "deleted 1 of 2 keys\n")
        self.assertEqual(self.run_cli("delete", self.db, "cats.txt").code, 1)
        self.assertEqual(self.run_cli("get", self.db, "cats.txt").code, 1)
        keys = [hit["key"] for hit in self.ok("search", self.db, "cats", "--json").json()["hits"]]
        self.assertEqual(set(keys), {"ops/security.md"})

    def test_reembed_with_the_model_in_use_has_nothing_to_do(self):
        self.ok("index", "docs", "--db", self.db)
        self.assertIn("nothing to do", self.ok("reembed", self.db).text)
        report = self.ok("reembed", self.db, "--json").json()
        self.assertFalse(report["changed"])
        self.assertEqual(report["old_model"], report["new_model"])
        self.assertEqual(report["passages_embedded"], 0)
        self.assertIn("nothing to discard", self.ok("reembed", self.db, "--discard").text)
        self.refused("reembed", self.db, "--collection", "absent", code=2, says=["absent"])
        self.refused("reembed", self.db, "--all", "--discard", code=2, says=["--discard"])

    def test_questions_have_parts(self):
        self.ok("index", "docs", "--db", self.db)
        found = self.ok("search", self.db, "--like", "cats.txt", "--json").json()
        self.assertNotIn("cats.txt", [hit["key"] for hit in found["hits"]])
        self.assertEqual(found["like"], ["cats.txt"])
        found = self.ok("search", self.db, "keys", "--also", "cats", "--also", "night", "--not", "dogs", "--any", "--json").json()
        self.assertEqual((found["query"], found["also"], found["not"]), ("keys", ["cats", "night"], ["dogs"]))
        self.assertEqual(found["explain"]["query_vectors"], 3)
        found = self.ok("search", self.db, "keys", "--not-like", "cats.txt", "--json").json()
        self.assertNotIn("cats.txt", [hit["key"] for hit in found["hits"]])
        # Words behind an option with one value are the question.
        found = self.ok("search", self.db, "--also", "cats", "keys", "--json").json()
        self.assertEqual((found["query"], found["also"]), ("keys", ["cats"]))
        self.refused("search", self.db, "--like", "none", code=2, says=["none"])
        self.refused("search", self.db, "--not", "dogs", code=2, says=["no question"])

    def test_a_search_out_of_time_has_an_exit_code_of_its_own(self):
        self.ok("index", "docs", "--db", self.db)
        self.refused("search", self.db, "keys", "--timeout", "0.000001", code=124, says=["deadline"])
        self.ok("search", self.db, "keys", "--timeout", "600")

    def test_stats_tell_memory_when_asked(self):
        self.ok("index", "docs", "--db", self.db)
        self.assertNotIn("memory", self.ok("stats", self.db, "--json").json())
        memory = self.ok("stats", self.db, "--memory", "--json", model=False).json()["memory"]
        self.assertGreater(memory["index_codes"], 0)
        self.assertEqual(memory["total"], sum(value for name, value in memory.items() if name != "total"))
        self.assertIn("in memory once searched", self.ok("stats", self.db, "--memory").text)

    def test_a_memory_budget_goes_with_every_command_and_says_what_is_too_little(self):
        self.ok("--memory", "64M", "index", "docs", "--db", self.db)
        hits = self.ok("search", self.db, "keys", "--json", "--memory", "32m").json()["hits"]
        self.assertEqual(hits, self.ok("search", self.db, "keys", "--json").json()["hits"])
        for words in (["verify"], ["compact"], ["repair"]):
            self.ok("--memory", "1G", *words, self.db)
        limits = self.ok("--memory", "65536K", "stats", self.db, "--memory", "--json").json()["memory_limits"]
        self.assertEqual(limits["budget"], 64 << 20)
        self.assertEqual(limits["held_back"], [])
        self.refused("search", self.db, "keys", "--memory", "1M", says=["32M", "--memory"])
        self.refused("search", self.db, "keys", "--memory", "much", says=["--memory"])

    def test_no_hits_is_exit_code_1(self):
        (self.scratch / "empty").mkdir()
        self.ok("index", "empty")
        ran = self.run_cli("search", "empty", "anything", "--json")
        self.assertEqual((ran.code, ran.json()["hits"]), (1, []))

    def test_k_out_of_range_is_an_error_and_more_than_there_is_is_not(self):
        self.ok("index", "docs")
        for k in ("0", "-1", "2147483648", "10001"):
            self.refused("search", "docs", "cats", "-k", k, says=[k])
        self.refused("search", "docs", "cats", "-k", "many", says=["many", "--help"])
        self.assertGreaterEqual(len(self.ok("search", "docs", "cats", "-k", "10000", "--json").json()["hits"]), 2)

    def test_a_precision_or_role_that_does_not_exist_is_refused_by_name(self):
        for words in (["index", "docs"], ["embed", "text"]):
            self.refused(*words, "--precision", "int7", says=["int7", "f32"])
        self.ok("index", "docs")
        self.refused("search", "docs", "x", "--role", "riddle", says=["riddle", "question-answering"])

    def test_a_missing_folder_and_a_misspelt_command_are_named(self):
        self.refused("search", "nowhere", "x", says=["nowhere"])
        self.refused("serach", "docs", "x", says=["serach", "--help"])
        self.refused("search", "docs/cats.txt", "x", says=["is a file"])
        self.refused("docs", says=["there is no question"])

    def test_the_database_is_refused_to_a_second_writer_and_not_to_readers(self):
        self.ok("index", "docs", "--db", self.db)
        holder = subprocess.Popen(
            [cli_harness.CLI, *cli_harness.MODEL, "add", self.db, "--jsonl", "--ack", "--batch", "1"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, env=self.environment,
        )
        try:
            holder.stdin.write(b'{"key": "held", "text": "t"}\n')
            holder.stdin.flush()
            self.assertEqual(json.loads(holder.stdout.readline()), "held")
            self.refused("delete", self.db, "held", code=5, says=[str(holder.pid)])
            self.ok("search", self.db, "cats")
            self.ok("get", self.db, "cats.txt")
        finally:
            holder.communicate(timeout=30)
        self.assertEqual(holder.returncode, 0)

    def test_another_model_is_refused_with_both_names(self):
        self.ok("index", "docs", "--db", self.db)
        other = self.scratch / "other-model"
        shutil.copytree(cli_harness.TINY_MODEL, other)
        prompts = other / "config_sentence_transformers.json"
        prompts.write_text(prompts.read_text().replace("search result", "other result"))
        options = ["--model", str(other), "--allow-unverified-model"]
        spaces = [
            next(c["found"] for c in self.ok(*words, "doctor", "--json", model=False).json()["checks"] if c["name"] == "space")
            for words in (options, cli_harness.MODEL)
        ]
        for words in (["search", self.db, "cats"], ["add", self.db, "--key", "new"]):
            ran = self.refused(*options, *words, code=4, model=False, input=b"text")
            for space in spaces:
                self.assertIn(space[:12], ran.errors)

    def test_damage_is_exit_code_6(self):
        self.ok("index", "docs", "--db", self.db)
        with open(self.db + "/NESTOR", "r+b") as file:
            file.seek(20)
            file.write(b"X")
        for words in (["verify", self.db], ["stats", self.db], ["search", self.db, "cats"], ["get", self.db, "cats.txt"]):
            self.refused(*words, code=6, says=["NESTOR"])

    def test_a_database_without_its_manifest_is_damage_and_no_folder_of_documents(self):
        self.ok("add", self.db, "--jsonl", input=b'{"key": "a", "text": "alpha"}\n')
        (Path(self.db) / "NESTOR").unlink()
        for words in (("verify", self.db), ("stats", self.db), ("get", self.db, "a"), (self.db, "question"),
                      ("search", self.db, "question"), ("index", self.db)):
            self.refused(*words, code=6, says=("NESTOR",))

    def test_a_cache_that_cannot_be_saved_is_a_warning(self):
        lines = b"".join(b'{"key": "k%d", "text": "number %d"}\n' % (i, i) for i in range(80))
        self.ok("add", self.db, "--jsonl", input=lines)
        (cache,) = (Path(self.db) / "cache").glob("*.index")
        cache.unlink()
        cache.mkdir()
        ran = self.ok("add", self.db, "--jsonl", "--json", input=b'{"key": "more", "text": "one"}\n')
        self.assertEqual(ran.json()["added"], 1)
        self.assertIn("cache", ran.errors)
        self.ok("get", self.db, "more")

    def test_a_place_that_is_no_database_is_refused_and_left_alone(self):
        self.refused("index", "docs", "--db", "docs", says=["docs", "empty folder"])
        self.refused("add", "docs/cats.txt", "--jsonl", says=["is a file"])
        self.assertEqual(sorted(os.listdir(self.docs)), ["cats.txt", "ops"])

    def test_help_names_exit_codes_and_examples(self):
        for words in ([], ["--help"]):
            text = self.ok(*words, model=False).text
            self.assertIn("Exit codes: 0", text)
            self.assertEqual(text.count("  nestor "), 3)
        for command in "search index add get delete stats verify reembed embed doctor model eval".split():
            self.assertIn("--help", self.ok(command, "--help", model=False).text)
        self.assertRegex(self.ok("--version", model=False).text, r"^nestor \d+\.\d+\.\d+\n$")


class EmbedAndDoctor(cli_harness.CliTest):
    def test_embed_answers_in_order_with_tokens_and_mode(self):
        lines = b'{"text": "first"}\n{"text": "second", "title": "t"}\n'
        rows = self.ok("embed", "--role", "document", "--jsonl", input=lines).lines()
        self.assertEqual(len(rows), 2)
        for row in rows:
            self.assertEqual(set(row), {"schema_version", "vector", "tokens", "truncated", "precision"})
            self.assertAlmostEqual(sum(x * x for x in row["vector"]), 1, places=4)
            self.assertEqual((row["truncated"], row["precision"]), (False, cli_harness.PRECISION))
        alone = self.ok("embed", "--role", "document", "first").lines()
        for a, b in zip(alone[0]["vector"], rows[0]["vector"]):
            self.assertAlmostEqual(a, b, delta=1e-6)
        self.assertNotEqual(rows[0]["vector"], rows[1]["vector"])

    def test_a_cut_text_says_so_and_an_empty_one_is_a_text(self):
        rows = self.ok("embed", "--jsonl", input=json.dumps({"text": "word " * 3000}).encode() + b'\n{"text": ""}').lines()
        self.assertTrue(rows[0]["truncated"])
        self.assertGreater(rows[0]["tokens"], 2048)
        self.assertFalse(rows[1]["truncated"])

    def test_embed_holds_a_conversation(self):
        process = subprocess.Popen(
            [cli_harness.CLI, *cli_harness.MODEL, "embed", "--jsonl"], env=self.environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        for text in ("one", "two"):
            process.stdin.write(json.dumps({"text": text}).encode() + b"\n")
            process.stdin.flush()
            self.assertIn("vector", json.loads(process.stdout.readline()))
        process.communicate(timeout=30)
        self.assertEqual(process.returncode, 0)

    def test_embed_refuses_bad_lines_by_number(self):
        good = b'{"text": "a"}\n'
        cases = [
            (b'{"txt": "a"}', '"text"'), (b'{"text": "a", "tilte": "b"}', "tilte"), (b'{"text": 3}', "number"),
            (b'["a"]', "array"), (b'{"text": "a"', "not JSON"), (b'{"text": "\xff"}', "line 2"),
        ]
        for line, word in cases:
            ran = self.run_cli("embed", "--jsonl", "--role", "document", input=good + line + b"\n")
            self.assertEqual(ran.code, 2, line)
            self.assertIn("line 2", ran.errors)
            self.assertIn(word, ran.errors)
        self.refused("embed", "--jsonl", input=b'{"text": "a", "title": "b"}', says=["line 1", "document"])
        self.refused("embed", says=["--jsonl"])
        self.refused("embed", "a", "--width", "77", says=["77"])

    def test_doctor_says_what_runs_here(self):
        ran = self.ok("doctor")
        for word in ("processor", "backend", "available", "f32: ", "weights", "space", "self-test", "skipped"):
            self.assertIn(word, ran.text)
        report = self.ok("doctor", "--json").json()
        self.assertTrue(report["ok"])
        self.assertIn("self-test", [check["name"] for check in report["checks"]])
        self.assertEqual(self.add({"key": "a", "text": "t"}).code, 0)
        self.assertIn("1 document", self.ok("doctor", self.db).text)
        self.assertIn("backend", self.ok("doctor", NESTOR_FORCE_BACKEND="scalar").text)


class NoModel(cli_harness.CliTest):
    def test_every_command_that_needs_a_model_says_so_at_once(self):
        self.put("a.md", "text")
        self.ok("index", "docs", "--db", self.db)
        commands = [
            ["index", "docs"], ["docs", "question"], ["search", self.db, "question"], ["embed", "text"],
            ["add", str(self.scratch / "new.db"), "--key", "a"], ["doctor"],
        ]
        for words in commands:
            ran = self.run_cli(*words, model=False, input=b"text")
            self.assertEqual(ran.code, 3, f"{words}: {ran.errors}")
            self.assertIn("nestor model pull", ran.errors + ran.text)
            self.assertIn(str(self.scratch / "data"), ran.errors + ran.text)
            if "ASAN_OPTIONS" not in self.environment and "TSAN_OPTIONS" not in self.environment:
                self.assertLess(min(ran.seconds, self.run_cli(*words, model=False, input=b"text").seconds), 0.2, words)
        self.assertFalse((self.scratch / "new.db").exists())
        self.assertFalse((self.scratch / "data/nestor/indexes").exists())

    def test_what_needs_no_model_runs_without(self):
        self.put("a.md", "text")
        self.ok("index", "docs", "--db", self.db)
        for words in (["get", self.db, "a.md"], ["stats", self.db], ["verify", self.db], ["delete", self.db, "a.md"]):
            self.ok(*words, model=False)


if __name__ == "__main__":
    cli_harness.main()
