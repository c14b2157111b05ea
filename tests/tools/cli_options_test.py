"""Every numeric option of every command is checked against its range, and no query is empty; found by reading --help."""

import re

import cli_harness

# Nothing of this is in a range, but that a score may be any finite number (--min-score).
BAD = ["nan", "-nan", "inf", "-inf", "-1", "-0.5", "1e300", "", " ", "1x", "0x10", "9" * 40, "1" * 5000]
NUMERIC = re.compile(r"^\s+((?:-\w,)?--[\w-]+) (INT|UINT|FLOAT|NUMBER|SIZE)\b", re.MULTILINE)
# Words that stand for the positional arguments; none of them is opened before the options are read.
WORDS = {"search": ["db", "query"], "add": ["db"], "recall": ["db"], "index": ["docs"], "eval": ["folder"], "embed": ["t"]}


class OptionsTest(cli_harness.CliTest):
    def commands(self):
        listed = self.ok("--help", model=False).text.split("Subcommands:")[1]
        return re.findall(r"^  (\w+)  ", listed, re.MULTILINE)

    def numeric_options(self, command):
        return [(names.split(",")[-1], kind) for names, kind in NUMERIC.findall(self.ok(*command, "--help", model=False).text)]

    def test_every_numeric_option_refuses_what_is_no_number_of_its_range(self):
        found = 0
        for command in [[], *([name] for name in self.commands())]:
            for option, _ in self.numeric_options(command):
                found += 1
                for bad in BAD:
                    if option == "--min-score" and bad in ("-1", "-0.5", "1e300", "9" * 40):
                        continue
                    words = [*command, f"{option}={bad}", *WORDS.get(command[0] if command else "", [])]
                    ran = self.run_cli(*words, model=False)
                    self.assertEqual((ran.code, ran.out), (2, b""), f"{words}: {ran.text}{ran.errors}")
                    self.assertIn(option, ran.errors, words)
                    self.assertRegex(ran.errors, "is expected|1 required", words)
                    self.assertLess(len(ran.errors), 1000, words)
        self.assertGreater(found, 20)

    def test_numbers_within_their_range_are_taken(self):
        self.put("a.md", "one\n\ntwo\n")
        self.ok("index", "docs", "--passage-tokens", "16", "--db", self.db)
        numbers = ["-k", "3", "--offset", "0", "--min-score", "-1", "--per-document", "1", "--recall", "1", "--diversity", "0.5",
                   "--not-weight", "10", "--timeout", "1000", "--vector-weight", "0", "--threads", "2", "--memory", "64M"]
        self.assertEqual(len(self.ok("search", self.db, "one", "--jsonl", *numbers).lines()), 1)
        self.refused("search", self.db, "one", "-k", "10000", "--offset", "10000", says=["together", "10000"])
        self.refused("search", self.db, "one", "--min-score", "1e300", says=["min_score is 1e+300; -1 to 1 is expected"])

    def test_a_query_of_nothing_to_see_is_an_error_of_its_own(self):
        self.put("a.md", "one\n")
        self.ok("index", "docs", "--db", self.db)
        blank = ["", "   ", "\t\n", "\u00a0\u3000", "\u200b\ufeff"]
        for text in blank:
            for mode in ("vector", "keyword", "hybrid"):
                self.refused("search", self.db, text, "--mode", mode, says=["query is empty"])
            self.refused("search", self.db, "-", input=text.encode(), says=["query is empty"])
            self.refused("search", self.db, "one", "--also", text, says=["query is empty"])
            self.refused("search", self.db, "one", "--not", text, says=["query is empty"])
        # Nothing is indexed for it either.
        self.refused("docs", " ", says=["query is empty"])
        self.assertFalse((self.scratch / "data").exists())

    def test_blank_lines_are_no_questions_of_a_measurement(self):
        self.put("a.md", "one\n\ntwo\n")
        self.ok("index", "docs", "--db", self.db)
        (self.scratch / "asked.txt").write_text("\none\n   \n\u3000\r\n\ttwo\n\n")
        self.assertEqual(self.ok("recall", self.db, "--questions", "asked.txt", "--json").json()["questions"], 2)
        (self.scratch / "blank.txt").write_text(" \n\n")
        self.refused("recall", self.db, "--questions", "blank.txt", says=["no question"])


if __name__ == "__main__":
    cli_harness.main()
