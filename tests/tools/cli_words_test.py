"""Search by words at the command line: what is shown of scores, of required and excluded words, and --language."""

import json

import cli_harness

DOCUMENTS = [
    {"key": "cat", "text": "the cat sleeps on the folder", "vector": [1, 0]},
    {"key": "rm", "text": "rm -rf folder deletes it, there is no undo", "vector": [0, 1]},
    {"key": "houses", "text": "die Häuser der Stadt", "vector": [1, 1]},
]


class WordsTest(cli_harness.CliTest):
    def fill(self, *options):
        data = "".join(json.dumps(document) + "\n" for document in DOCUMENTS).encode()
        return self.run_cli("add", self.db, "--jsonl", *options, input=data, model=False)

    def search(self, *words):
        return self.run_cli("search", self.db, "--mode", "keyword", *words, model=False)

    def keys(self, *words):
        return [hit["key"] for hit in self.search("--jsonl", *words).lines()]

    def test_what_is_excluded_and_required_is_shown(self):
        self.fill()
        ran = self.search("undo -folder")
        self.assertEqual(ran.code, 1)
        self.assertIn('excluded: "folder"', ran.errors)
        ran = self.search('"the cat" +folder -"no undo"')
        self.assertEqual(ran.code, 0)
        self.assertIn('required: "the cat", "folder"', ran.errors)
        self.assertIn('excluded: "no undo"', ran.errors)
        explain = self.search('"the cat" -undo', "--json").json()["explain"]
        self.assertEqual((explain["required"], explain["excluded"]), (["the cat"], ["undo"]))
        self.assertIn('excluded: "undo"', self.search("cat -undo", "--jsonl").errors)

    def test_an_option_of_a_command_is_text_and_nothing_is_excluded(self):
        self.fill()
        for query in ("rm -rf folder", "what does rm -rf do", "undo --folder"):
            ran = self.search("--", query)
            self.assertIn("rm:", ran.text)
            self.assertNotIn("excluded", ran.errors)

    def test_keyword_hits_show_the_score_that_they_are_in_the_order_of(self):
        self.fill()
        found = self.search("folder undo", "--json").json()
        scores = [hit["keyword_score"] for hit in found["hits"]]
        self.assertEqual(scores, sorted(scores, reverse=True))
        self.assertEqual(len(scores), 2)
        shown = [line for line in self.search("folder undo").text.splitlines() if "BM25" in line]
        self.assertEqual(len(shown), 2)
        for hit, line in zip(found["hits"], shown):
            self.assertIn(f"{hit['key']}:1  BM25 {hit['keyword_score']:.2f}", line)
            self.assertNotIn("cosine", line)  # the query has no vector

    def test_by_words_the_cosine_stands_beside_and_hybrid_shows_rank_and_both(self):
        for document in DOCUMENTS:
            self.ok("add", self.db, "--key", document["key"], input=document["text"].encode())
        first = self.ok("search", self.db, "--mode", "keyword", "undo").text.splitlines()[0]
        self.assertRegex(first, r"^rm:1  BM25 \d+\.\d\d \(cosine -?\d\.\d{3}\)")
        lines = self.ok("search", self.db, "--mode", "hybrid", "undo", "--offset", "1").text.splitlines()
        shown = [line for line in lines if "cosine" in line]
        self.assertRegex(shown[0], r"^\w+:1  #2 \(cosine -?\d\.\d{3}, BM25 \d+\.\d\d\)")
        self.assertRegex(self.ok("search", self.db, "undo").text.splitlines()[0], r"^\w+:1  -?\d\.\d{3}$")

    def test_the_weight_of_each_fusion_is_the_librarys(self):
        for document in DOCUMENTS:
            self.ok("add", self.db, "--key", document["key"], input=document["text"].encode())
        hybrid = ["search", self.db, "--mode", "hybrid", "--json", "undo"]
        plain = self.ok(*hybrid, "--fusion", "rrf").json()["hits"]
        self.assertEqual(plain, self.ok(*hybrid, "--fusion", "rrf", "--vector-weight", "0.5").json()["hits"])
        self.assertNotEqual(plain, self.ok(*hybrid, "--fusion", "rrf", "--vector-weight", "0.83").json()["hits"])
        plain = self.ok(*hybrid).json()["hits"]
        self.assertEqual(plain, self.ok(*hybrid, "--vector-weight", "0.83").json()["hits"])
        self.refused(*hybrid, "--vector-weight", "-0.5", says=["--vector-weight", "0 to 1"])

    def test_a_language_is_set_when_documents_are_added_and_can_be_changed(self):
        self.assertEqual(self.fill("--language", "german").code, 0)
        self.assertEqual(self.keys("Haus"), ["houses"])
        self.assertEqual(self.fill("--language", "auto").code, 0)
        self.assertEqual(self.keys("Haus"), [])
        self.assertEqual(self.fill("--language", "german").code, 0)
        self.assertEqual(self.fill().code, 0)  # as it is
        self.assertEqual(self.keys("Haus"), ["houses"])

    def test_an_unknown_language_is_refused_with_those_there_are_and_makes_nothing(self):
        ran = self.fill("--language", "klingon")
        self.assertEqual(ran.code, 2)
        for word in ("klingon", "auto", "none", "german"):
            self.assertIn(word, ran.errors)
        self.assertEqual(self.run_cli("stats", self.db, model=False).code, 2)
        (self.docs / "a.txt").write_text("die Häuser")
        self.refused("index", str(self.docs), "--language", "klingon", says=["klingon", "german"])

    def test_a_folder_is_indexed_in_its_language(self):
        (self.docs / "a.txt").write_text("die Häuser der Stadt")
        self.ok("index", str(self.docs), "--language", "german")
        self.assertEqual(self.run_cli("search", str(self.docs), "--mode", "keyword", "Haus").code, 0)
        self.ok("index", str(self.docs))
        self.assertEqual(self.run_cli("search", str(self.docs), "--mode", "keyword", "Haus").code, 0)

    def test_the_help_states_the_rule_of_the_signs(self):
        text = " ".join(self.run_cli("search", "--help", model=False).text.split())
        for word in ("as written", "excluded", "-xzf", "--amend", "are text"):
            self.assertIn(word, text)


if __name__ == "__main__":
    cli_harness.main()
