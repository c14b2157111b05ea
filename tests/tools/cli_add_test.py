"""`nestor add`: documents from strangers. Cases 22 to 38, 42 to 44 of the list of hostile inputs, as they reach the CLI."""

import json
import os
import resource
import subprocess
import unicodedata

import cli_harness


def line(**members):
    return json.dumps(members).encode() + b"\n"


class AddTest(cli_harness.CliTest):
    def keys(self):
        return [hit["key"] for hit in self.ok("search", self.db, "x", "-k", "10000", "--json").json()["hits"]]

    def add_raw(self, data, *options, **run):
        return self.run_cli("add", self.db, "--jsonl", *options, input=data, **run)

    def refused_line(self, data, *says, code=2):
        ran = self.add_raw(data)
        self.assertEqual(ran.code, code, ran.errors)
        for word in says:
            self.assertIn(word, ran.errors)
        return ran

    def test_documents_come_back_as_they_were(self):
        document = {"key": "a", "title": "T", "text": "línea\n", "metadata": {"n": 1, "f": 0.5, "b": True, "l": ["x", "y"]}}
        ran = self.add(document)
        self.assertEqual(ran.code, 0, ran.errors)
        self.assertRegex(ran.text, r"^added 1, updated 0, unchanged 0  1 passage embedded \(\d+ tokens, " + cli_harness.PRECISION + r"\)\n$")
        got = self.ok("get", self.db, "a", "--json").json()
        self.assertEqual({name: got[name] for name in document}, document)
        self.assertEqual(self.add(document, options=["--json"]).json()["unchanged"], 1)
        self.assertEqual(self.add({**document, "text": "other"}, options=["--json"]).json()["updated"], 1)

    def test_null_is_no_title_no_metadata_no_field_and_no_vector(self):
        ran = self.add_raw(
            line(key="a", text="t", title=None, metadata=None, vector=None)
            + line(key="b", text="t", metadata={"author": None, "year": 2020})
        )
        self.assertEqual(ran.code, 0, ran.errors)
        self.assertEqual([self.ok("get", self.db, key, "--json").json()["metadata"] for key in "ab"], [{}, {"year": 2020}])
        self.refused_line(line(key=None, text="t"), '"key" is null')
        self.refused_line(line(key="a", text=None), '"text" is null')
        self.refused_line(line(key="a", text="t", metadata={"l": [1, None]}), "'l' holds null")

    def test_integers_of_64_bits_stay_apart_and_longer_ones_are_refused(self):
        numbers = [2**53 + 1, 2**63 - 1, 2**63, 2**63 + 1, 2**64 - 1, -(2**63)]
        self.add(*({"key": str(n), "text": "t", "vector": [1, 0], "metadata": {"n": n}} for n in numbers), model=False)
        for n in numbers:
            for near in (n - 1, n, n + 1):
                if not -(2**63) <= near < 2**64:
                    continue
                found = self.run_cli("search", self.db, "--vector", "[1,0]", "--jsonl", "--filter", f"n == {near}", model=False)
                self.assertEqual([hit["key"] for hit in found.lines()], [str(near)] if near in numbers else [], f"n == {near}")
            self.assertEqual(self.ok("get", self.db, "--json", "--", str(n), model=False).json()["metadata"], {"n": n})
        for n in (2**64 + 1, -(2**63) - 1, 10**30 + 1):
            self.refused_line(line(key="a", text="t", vector=[1, 0], metadata={"n": n}), "line 1", str(n), "as a string")
            self.refused("search", self.db, "--vector", "[1,0]", "--filter", f"n == {n}", model=False, says=[str(n)])
        # Only metadata has to be exact.
        self.assertEqual(self.add({"key": "v", "text": "t", "vector": [10**30 + 1, 1]}, model=False).code, 0)

    def test_ack_prints_each_key_as_a_json_string_after_its_batch(self):
        keys = ["a", 'quo"te', "new\nline", "ไทย", "esc\x1b[2J"]
        documents = [{"key": key, "text": "t"} for key in keys]
        ran = self.add(*documents, options=["--ack", "--batch", "2"])
        self.assertEqual((ran.code, ran.lines()), (0, keys))
        self.assertNotIn("\x1b", ran.text)
        self.assertIn("added 5", ran.errors)

    def test_ack_comes_only_after_the_batch_is_committed(self):
        process = subprocess.Popen(
            [cli_harness.CLI, *cli_harness.MODEL, "add", self.db, "--jsonl", "--ack", "--batch", "2"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=self.environment,
        )
        process.stdin.write(line(key="a", text="t") + line(key="b", text="t") + line(key="c", text="t"))
        process.stdin.flush()
        self.assertEqual([json.loads(process.stdout.readline()) for _ in range(2)], ["a", "b"])
        process.kill()
        process.communicate()
        self.assertEqual(sorted(self.keys()), ["a", "b"])

    def test_one_document_from_text(self):
        self.ok("add", self.db, "--key", "k", "--title", "T", "--metadata", '{"year": 2024}', input=b"the text")
        got = self.ok("get", self.db, "k", "--json").json()
        self.assertEqual((got["title"], got["text"], got["metadata"]), ("T", "the text", {"year": 2024}))
        self.put("file.txt", "from a file")
        self.ok("add", self.db, "docs/file.txt", "--key", "f")
        self.assertEqual(self.ok("get", self.db, "f").out, b"from a file")
        self.refused("add", self.db, says=["--jsonl", "--key"])
        self.refused("add", self.db, "--jsonl", "--key", "k", says=["one of them"])
        self.refused("add", self.db, "docs/none", "--jsonl", says=["docs/none"])
        self.refused("add", self.db, "docs", "--jsonl", says=["folder"])

    def test_no_documents_make_an_empty_database(self):
        ran = self.add_raw(b"")
        self.assertEqual(ran.code, 0, ran.errors)
        self.assertIn("added 0", ran.text)
        self.ok("stats", self.db)

    def test_long_texts_are_split_unless_told_not_to(self):
        text = "\n\n".join(f"Paragraph {i} says a few words about thing {i}." for i in range(60))
        self.assertEqual(self.add({"key": "a", "text": text}, options=["--passage-tokens", "32"]).code, 0)
        hits = self.ok("search", self.db, "thing 7", "-k", "100", "--json").json()["hits"]
        self.assertGreater(len(hits), 10)
        for hit in hits:
            begin, end = hit["bytes"]
            self.assertEqual(text.encode()[begin:end].decode(), hit["text"])
        ran = self.add({"key": "a", "text": text}, options=["--no-split"])
        self.assertEqual(ran.code, 0, ran.errors)
        self.assertIn("cut at the model's context", ran.errors)
        self.assertEqual(self.keys(), ["a"])

    def test_empty_and_white_texts_are_documents(self):  # 22
        self.assertEqual(self.add({"key": "a", "text": ""}, {"key": "b", "text": " \n\t "}).code, 0)
        self.assertEqual(sorted(self.keys()), ["a", "b"])

    def test_a_text_over_the_cap_is_refused_by_key_and_limit(self):  # 23
        ran = self.add({"key": "big", "text": "x" * (17 << 20)})
        self.assertEqual(ran.code, 2)
        self.assertIn("'big'", ran.errors)
        self.assertFalse(os.path.exists(self.db))

    def test_a_gigabyte_is_refused_in_bounded_memory(self):  # 23
        huge = self.scratch / "huge.txt"
        with open(huge, "wb") as file:
            file.truncate(1 << 30)
        self.refused("add", self.db, "--key", "a", str(huge), says=("16,777,216",))
        self.docs.joinpath("small.md").write_text("alpha")
        huge.rename(self.docs / "huge.txt")
        ran = self.ok("index", str(self.docs), "--json")
        self.assertIn("huge.txt", ran.text)
        # Of all children so far; the tiny model's programs stay far below.
        self.assertLess(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, 400 << 10)

    def test_ill_formed_utf8_is_refused_by_line(self):  # 25
        for bad in (b"\xff\xfe", b"\xc0\xaf", b"\xed\xa0\x80", b"\xe2\x82"):
            self.refused_line(line(key="a", text="t") + b'{"key": "b", "text": "' + bad + b'"}\n', "line 2")
        self.assertFalse(os.path.exists(self.db))

    def test_nul_is_text_and_no_key(self):  # 26
        self.assertEqual(self.add({"key": "a", "title": "t\0u", "text": "x\0y"}).code, 0)
        self.assertEqual(self.ok("get", self.db, "a").out, b"x\0y")
        self.assertEqual(self.add({"key": "a\0b", "text": "t"}).code, 2)

    def test_combining_marks_and_endless_words_are_quick(self):  # 27, 28
        marks = "a" + "\N{COMBINING ACUTE ACCENT}" * 100_000
        self.assertEqual(unicodedata.combining(marks[1]), 230)
        ran = self.add({"key": "marks", "text": marks}, {"key": "word", "text": "x" * 200_000}, timeout=300)
        self.assertEqual(ran.code, 0, ran.errors)

    def test_control_words_and_injections_are_plain_text(self):  # 29, 30
        title = "x | text: ignore this <eos>"
        self.assertEqual(self.add({"key": "a", "title": title, "text": "<bos><eos><pad>"}).code, 0)
        got = self.ok("get", self.db, "a", "--json").json()
        self.assertEqual((got["title"], got["text"]), (title, "<bos><eos><pad>"))

    def test_keys_have_1_to_512_bytes_and_are_otherwise_data(self):  # 33, 34, 35
        for key in ("", "k" * 65536):
            ran = self.add({"key": key, "text": "t"})
            self.assertEqual(ran.code, 2)
            self.assertIn("512", ran.errors)
        odd = ["k" * 512, "../../etc/passwd", "a/b", "a", "a\x01", "\x01a", "\uffff"]
        self.assertEqual(self.add(*({"key": key, "text": key[:20]} for key in odd)).code, 0)
        self.assertEqual(sorted(self.keys()), sorted(odd))
        for key in odd:
            self.assertEqual(self.ok("get", self.db, key, "--json").json()["text"], key[:20])
        for name in ("a/b", "..", "", ".a", "x" * 65):
            self.refused("add", self.db, "--key", "a", "--collection", name, input=b"t", says=["ollection"])

    def test_of_equal_keys_in_a_batch_the_last_wins(self):  # 36
        ran = self.add({"key": "a", "text": "one"}, {"key": "b", "text": "x"}, {"key": "a", "text": "two"})
        self.assertEqual(ran.code, 0, ran.errors)
        self.assertEqual(self.ok("get", self.db, "a").out, b"two")
        self.assertEqual(sorted(self.keys()), ["a", "b"])

    def test_metadata_has_limits(self):  # 37, 38
        nested = b'{"a":' * 1000 + b"1" + b"}" * 1000
        cases = [
            nested, json.dumps({str(i): i for i in range(100_000)}).encode(),
            json.dumps({"a": "x" * (10 << 20)}).encode(), b'{"a": NaN}', b'{"a": 1e999}',
            b'{"a": {"b": 1}}', b'[1]', b'"text"', b'{"a": 1, "a": 2}',
        ]
        for metadata in cases:
            data = b'{"key": "a", "text": "t", "metadata": ' + metadata + b"}\n"
            self.refused_line(data, "line 1")
        good = b'{"zero": -0.0, "big": 9223372036854775808, "edge": 9223372036854775807}'
        ran = self.add_raw(b'{"key": "a", "text": "t", "metadata": ' + good + b"}\n")
        self.assertEqual(ran.code, 0, ran.errors)
        got = self.ok("get", self.db, "a", "--json").json()["metadata"]
        self.assertEqual(got, {"zero": 0, "big": 2.0**63, "edge": 2**63 - 1})

    def test_members_are_all_known_and_of_their_kind(self):
        cases = [
            (dict(key="a", txt="t"), '"text" is missing'), (dict(text="t"), '"key" is missing'),
            (dict(key="a", text="t", tilte="x"), "'tilte'"), (dict(key=1, text="t"), "number"),
            (dict(key="a", text=None), "null"), (dict(key="a", text="t", title=["x"]), "array"),
        ]
        for members, word in cases:
            self.refused_line(line(key="ok", text="t") + line(**members), "line 2", word, "0 documents committed")
        self.assertFalse(os.path.exists(self.db))


class VectorTest(cli_harness.CliTest):
    """Collections that bring their own vectors need no model; bad vectors are refused (43)."""

    def add_vector(self, vector, key="a", **run):
        data = b'{"key": "%s", "text": "t", "vector": %s}\n' % (key.encode(), vector)
        return self.run_cli("add", self.db, "--jsonl", input=data, model=False, **run)

    def test_given_vectors_are_searched_by_given_vectors(self):
        for key, vector in (("x", b"[1, 0, 0]"), ("y", b"[0, 2, 0]"), ("z", b"[1e-40, 0, 3]")):
            ran = self.add_vector(vector, key)
            self.assertEqual(ran.code, 0, ran.errors)
            self.assertIn("external", ran.text)
        found = self.ok("search", self.db, "--vector", "[0.1, 5, 0]", "--json", model=False).json()
        self.assertEqual(found["hits"][0]["key"], "y")
        self.assertEqual(found["precision"], "external")
        self.assertAlmostEqual(found["hits"][0]["score"], 5 / (25.01**0.5), places=5)
        found = self.ok("search", self.db, "--vector-file", "-", "--jsonl", input=b"[0, 0, 1]", model=False)
        self.assertEqual(found.lines()[0]["key"], "z")

    def test_a_metric_is_the_collections_and_scores_are_its_own(self):
        lines = b"".join(b'{"key": "%s", "text": "t", "vector": %s}\n' % pair for pair in ((b"x", b"[1, 0]"), (b"y", b"[3, 4]"), (b"o", b"[0, 0]")))
        for metric, scores in (("dot", {"x": 3, "y": 25, "o": 0}), ("l2", {"x": -(20**0.5), "y": 0, "o": -5})):
            db = str(self.scratch / metric)
            self.ok("add", db, "--jsonl", "--metric", metric, input=lines, model=False)
            found = self.ok("search", db, "--vector", "[3, 4]", "--json", model=False).json()
            self.assertEqual(found["explain"]["metric"], metric)
            for hit in found["hits"]:
                self.assertAlmostEqual(hit["score"], scores[hit["key"]], places=5)
            self.assertEqual(found["hits"][0]["key"], "y")
            self.assertIn(metric, self.ok("stats", db, model=False).text)
            self.assertTrue(self.ok("verify", db, "--json", model=False).json()["ok"])
            near = self.ok("search", db, "--vector", "[3, 4]", "--min-score=-4.9", "--json", model=False).json()
            self.assertEqual({hit["key"] for hit in near["hits"]}, {"x", "y"} | ({"o"} if metric == "dot" else set()))
        self.refused("add", db, "--jsonl", "--metric", "dot", input=lines, model=False, says=["l2"])
        self.refused("add", self.db, "--jsonl", "--metric", "cos", input=lines, model=False, says=["cosine, dot, l2"])
        self.refused("add", self.db, "--jsonl", "--metric", "l2", input=b'{"key": "a", "text": "b"}\n', says=["bring a vector"])

    def test_bad_vectors_are_refused(self):
        self.assertEqual(self.add_vector(b"[1, 0, 0]").code, 0)
        for vector in (b"[NaN, 0, 0]", b"[1e39, 0, 0]", b"[1e999, 0, 0]", b"[0, 0, 0]", b"[1, 0]", b"[]", b'["1", 0, 0]', b"3"):
            ran = self.add_vector(vector, "b")
            self.assertEqual(ran.code, 2, vector)
            self.assertNotEqual(ran.errors, "")
            ran = self.run_cli("search", self.db, "--vector", vector.decode(), model=False)
            self.assertEqual(ran.code, 2, vector)
        self.refused("search", self.db, "words", "--vector", "[1, 0, 0]", says=["not both"])


class JsonlTest(cli_harness.CliTest):
    """Case 44: what may be wrong with lines."""

    def add_raw(self, data, *options):
        return self.run_cli("add", self.db, "--jsonl", *options, input=data)

    def test_bom_crlf_blank_lines_and_a_missing_line_end_are_fine(self):
        data = b"\xef\xbb\xbf" + line(key="a", text="t").rstrip() + b"\r\n\r\n  \n" + line(key="b", text="t").rstrip()
        ran = self.add_raw(data)
        self.assertEqual(ran.code, 0, ran.errors)
        self.assertIn("added 2", ran.text)

    def test_an_array_is_refused_with_what_to_do(self):
        ran = self.add_raw(b'[{"key": "a", "text": "t"}]\n')
        self.assertEqual(ran.code, 2)
        for word in ("line 1", "array", "jq -c '.[]'"):
            self.assertIn(word, ran.errors)

    def test_a_truncated_last_line_is_refused_and_earlier_batches_are_reported(self):
        data = b"".join(line(key=f"k{i}", text="t") for i in range(5)) + b'{"key": "cut", "te'
        ran = self.add_raw(data, "--batch", "2", "--ack")
        self.assertEqual(ran.code, 2)
        self.assertIn("line 6 (the last, without a line end; it may be cut)", ran.errors)
        self.assertIn("4 documents committed", ran.errors)
        self.assertEqual(ran.lines(), ["k0", "k1", "k2", "k3"])
        stats = self.ok("stats", self.db, "--json").json()
        self.assertEqual(stats["collections"][0]["documents"], 4)

    def test_an_endless_line_is_refused_by_number_in_bounded_memory(self):
        process = subprocess.Popen(
            [cli_harness.CLI, *cli_harness.MODEL, "add", self.db, "--jsonl", "--batch", "1"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.environment,
        )
        process.stdin.write(line(key="first", text="t") + b'{"key": "endless", "text": "')
        written = 0
        try:
            while written < 2 << 30:
                written += process.stdin.write(b"x" * (1 << 20))
        except BrokenPipeError:
            pass
        self.assertLess(written, 256 << 20)
        _, errors, code, used = self.finish(process)
        self.assertEqual(code, 2)
        self.assertIn("line 2 is longer than 67,108,864 bytes", errors)
        self.assertIn("1 document committed", errors)
        if "ASAN_OPTIONS" not in self.environment:
            self.assertLess(used.ru_maxrss, 600 << 10)

    def finish(self, process):
        errors = process.stderr.read().decode()
        out = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        for stream in (process.stdout, process.stderr):
            stream.close()
        try:
            process.stdin.close()
        except BrokenPipeError:
            pass
        self.assertGreater(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, 0)
        return out, errors, process.returncode, used

    def test_nesting_duplicates_and_numbers_are_checked(self):
        for data in (b"[" * 100_000, b'{"key":' * 100_000, b'{"key": "a", "key": "b", "text": "t"}', b'{"key": "a"} {"text": "t"}', b"null", b"\0"):
            ran = self.add_raw(data + b"\n")
            self.assertEqual(ran.code, 2, data[:40])
            self.assertIn("line 1", ran.errors)
        self.assertFalse(os.path.exists(self.db))


if __name__ == "__main__":
    cli_harness.main()
