"""`nestor delete --filter`: a misspelt field does not empty a database, and nothing goes unasked at a terminal."""

import unicodedata

import cli_harness


class DeleteTest(cli_harness.CliTest):
    def setUp(self):
        super().setUp()
        self.add(
            *({"key": f"k{i}", "text": "t", "vector": [1, i], "metadata": {"year": 2018 + i, "PartyAbbrev": "D"}} for i in range(4)),
            model=False,
        )

    def count(self):
        return self.ok("stats", self.db, "--json", model=False).json()["collections"][0]["documents"]

    def test_a_field_that_no_document_has_is_refused_and_the_near_one_is_named(self):
        for name, near in (("yaer", "'year'"), ("Year", "'year'"), ("years", "'year'"), ("partyabbrev", "'PartyAbbrev'"), ("titel", "'title'")):
            ran = self.refused("delete", self.db, "--filter", f"{name} != 2020", model=False, says=[f"'{name}'", "did you mean", near, "--yes"])
            self.assertIn("4 documents", ran.errors)
        self.refused("delete", self.db, "--filter", "colour not exists", model=False, says=["'colour'"])
        self.refused("delete", self.db, "--filter", "year == 2019 OR NOT (nothing > 1)", model=False, says=["'nothing'"])
        self.assertEqual(self.count(), 4)
        self.assertEqual(self.ok("delete", self.db, "--filter", "yaer != 2020", "--yes", "--json", model=False).json()["deleted"], 4)

    def test_a_script_deletes_by_known_fields_without_a_question(self):
        self.assertEqual(self.ok("delete", self.db, "--filter", "year < 2020", model=False).text, "deleted 2 documents\n")
        self.assertEqual(self.run_cli("delete", self.db, "--filter", "year < 2020", model=False).code, 1)
        self.assertEqual(self.count(), 2)

    def test_a_dry_run_says_what_would_go_and_changes_nothing(self):
        ran = self.ok("delete", self.db, "--filter", "year >= 2019", "--dry-run", "--json", model=False).json()
        self.assertEqual((ran["would_delete"], ran["keys"]), (3, ["k1", "k2", "k3"]))
        self.assertIn("would delete 3 documents\n  k1\n", self.ok("delete", self.db, "--filter", "year >= 2019", "--dry-run", model=False).text)
        ran = self.ok("delete", self.db, "--filter", "yaer != 1", "--dry-run", model=False)
        self.assertIn("would delete 4", ran.text)
        self.assertIn("did you mean 'year'?", ran.errors)
        self.assertIn("would delete 1 document\n", self.ok("delete", self.db, "k1", "none", "--dry-run", model=False).text)
        self.assertEqual(self.run_cli("delete", self.db, "none", "--dry-run", model=False).code, 1)
        self.assertEqual(self.count(), 4)

    def test_a_person_at_a_terminal_is_asked_first(self):
        code, shown = self.on_terminal("delete", self.db, "--filter", "year < 2020", answer="n\n")
        self.assertEqual(code, 1)
        self.assertIn("delete 2 of 4 documents in collection 'default'? [y/N]", shown)
        self.assertEqual(self.on_terminal("delete", self.db, "--filter", "year < 2020", answer="\n")[0], 1)
        self.assertEqual(self.count(), 4)
        self.assertEqual(self.on_terminal("delete", self.db, "--filter", "year < 2019", answer="yes\n")[0], 0)
        self.assertEqual(self.count(), 3)
        code, shown = self.on_terminal("delete", self.db, "--filter", "year < 2020", "--yes", answer="")
        self.assertEqual((code, "[y/N]" in shown), (0, False))
        self.assertEqual(self.count(), 2)

    def test_every_command_with_a_filter_names_the_unknown_field(self):
        for words in (
            ["search", self.db, "--vector", "[1,1]", "--jsonl"], ["export", self.db], ["recall", self.db, "--sample", "1"],
        ):
            ran = self.run_cli("--quiet", *words, "--filter", 'partyabbrev != "R"', model=False)
            self.assertEqual(ran.code, 0, ran.errors)
            self.assertIn("no document has a field 'partyabbrev'; did you mean 'PartyAbbrev'?", ran.errors)
            # To ask whether a field is there is no mistake, unless a similar one is.
            self.assertEqual(self.ok("--quiet", *words, "--filter", "withdrawn not exists", model=False).errors, "")
            self.assertIn("'year'", self.ok("--quiet", *words, "--filter", "yaer == null", model=False).errors)
            self.assertEqual(self.ok("--quiet", *words, "--filter", "meta.year > 0 AND key exists", model=False).errors, "")

    def test_a_key_is_deleted_as_it_is_and_never_another_one(self):
        nfc, nfd = (unicodedata.normalize(form, "caf\u00e9") for form in ("NFC", "NFD"))
        points = [{"key": "a", "metadata": {"path": "b"}}, {"key": nfc}, {"key": nfd, "metadata": {"path": nfc}}]
        self.add(*({"text": "t", "vector": [1, 1], **point} for point in points), model=False)
        self.assertEqual(self.run_cli("delete", self.db, "b", model=False).code, 1)
        self.ok("delete", self.db, nfc, model=False)
        ran = self.run_cli("delete", self.db, nfc, model=False)
        self.assertEqual((ran.code, ran.text), (1, "deleted 0 of 1 key\n"))
        self.assertIn("in another Unicode form there is", ran.errors)
        self.assertEqual(self.ok("delete", self.db, nfd, "a", "--json", model=False).json()["deleted_keys"], [nfd, "a"])
        self.assertEqual(self.count(), 4)

    def test_a_key_that_is_typed_twice_counts_once(self):
        self.assertIn("would delete 1 document\n", self.ok("delete", self.db, "k1", "k1", "--dry-run", model=False).text)
        self.assertEqual(self.ok("delete", self.db, "k1", "k1", model=False).text, "deleted 1 of 1 key\n")

    def test_a_filter_on_the_field_of_what_was_deleted_matches_nothing(self):
        self.ok("delete", self.db, "--filter", "year > 0", model=False)
        ran = self.run_cli("delete", self.db, "--filter", "year > 0", model=False)
        self.assertEqual((ran.code, ran.text), (1, "deleted 0 documents\n"))
        self.assertIn("'year'", ran.errors)


if __name__ == "__main__":
    cli_harness.main()
