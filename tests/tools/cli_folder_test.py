"""`nestor index FOLDER` with the folders people have: unmounted disks, files of Windows, names of macOS."""

import unicodedata

import cli_harness


class FolderTest(cli_harness.CliTest):
    def test_an_unmounted_disk_does_not_empty_the_index(self):
        for i in range(6):
            self.put(f"n{i}.md", f"Note {i}: the heating, the garden.\n")
        self.ok("index", "docs")
        self.docs.rename(self.scratch / "away")
        self.docs.mkdir()
        ran = self.run_cli("index", "docs", "--json")
        self.assertEqual((ran.code, len(ran.json()["missing"]), ran.json()["removed"]), (2, 6, 0))
        for word in ("6 documents", "n0.md", "not be mounted", "nestor index docs --remove-missing"):
            self.assertIn(word, ran.errors)
        # A question is answered from what is there.
        ran = self.ok("docs", "the heating", "--jsonl")
        self.assertEqual(len(ran.lines()), 6)
        self.assertIn("The answer is from what was indexed", ran.errors)
        # So it is where the folder itself is gone.
        self.docs.rmdir()
        self.assertEqual(len(self.ok("search", "docs", "the heating", "--jsonl").lines()), 6)
        for words in (["docs", "the heating"], ["search", "docs", "the heating"]):
            ran = self.ok("--quiet", *words, "--json")
            self.assertEqual(len(ran.json()["hits"]), 6)
            self.assertIn("the folder docs is not there. The answer is from what was indexed", ran.errors)
            self.assertIn("docs is not there", ran.json()["warnings"][0])
        self.refused("index", "docs", says=["no folder or database"])
        self.docs.mkdir()
        self.assertEqual(self.ok("index", "docs", "--remove-missing", "--json").json()["removed"], 6)
        self.assertEqual(self.run_cli("search", "docs", "heating").code, 1)
        self.ok("index", "docs")

    def test_hits_have_the_bytes_of_files_with_marks_damage_and_windows_line_ends(self):
        files = {
            "bom.md": b"\xef\xbb\xbf# Kettle\r\n\r\nThe kettle boils.\r\n",
            "sjis.txt": "\u6771\u4eac kettle\n\nThe kettle boils.\n".encode("shift-jis"),
            "old-mac.txt": b"The kettle\rboils at noon.\r",
            "wide.txt": "The kettle boils: \u6771\u4eac.\r\n".encode("utf-16"),
        }
        for name, data in files.items():
            self.put(name, data)
        ran = self.ok("index", "docs")
        self.assertRegex(ran.errors, r"warning: \d+ invalid byte sequences became U\+FFFD in 1 file: sjis\.txt")
        report = self.ok("index", "docs", "--json").json()
        self.assertEqual([file["path"] for file in report["repaired"]], ["sjis.txt"])
        self.assertEqual(report["unchanged"], 4)
        hits = self.ok("search", "docs", "kettle boils", "--json", "-k", "20").json()["hits"]
        self.assertEqual({hit["key"] for hit in hits}, set(files))
        for hit in hits:
            begin, end = hit["bytes"]
            encoding = "utf-16-le" if hit["key"] == "wide.txt" else "utf-8"
            self.assertEqual(files[hit["key"]][begin:end].decode(encoding, "replace"), hit["text"])
        shown = self.ok("search", "docs", "kettle boils", "-k", "20").text
        self.assertNotIn("\\x0d", shown)
        self.assertNotIn("\\u{feff}", shown)
        self.assertIn("boils at noon.", shown)
        code, shown = self.on_terminal("get", "docs", "bom.md")
        self.assertEqual((code, "\\x0d" in shown), (0, False))

    def test_empty_files_are_no_hits(self):
        for name, text in {"zero.md": "", "blank.txt": " \n\n", "mark.md": b"\xef\xbb\xbf\r\n", "one.md": "boats and trains\n"}.items():
            self.put(name, text)
        report = self.ok("index", "docs", "--json").json()
        self.assertEqual(sorted((s["path"], s["reason"]) for s in report["skipped"]), [(n, "empty") for n in ("blank.txt", "mark.md", "zero.md")])
        hits = self.ok("search", "docs", "boats and trains", "--jsonl", "-k", "9").lines()
        self.assertEqual([hit["key"] for hit in hits], ["one.md"])

    def test_names_are_found_as_they_are_typed(self):
        for form in ("NFC", "NFD"):
            self.put(form + "/" + unicodedata.normalize(form, "r\u00e9sum\u00e9.md"), f"A curriculum vitae in {form}.\n")
        self.ok("index", "docs", "--db", self.db)
        for typed in ("NFC", "NFD"):
            for disk in ("NFC", "NFD"):
                name = f"{disk}/" + unicodedata.normalize(typed, "r\u00e9sum\u00e9.md")
                self.assertIn(disk, self.ok("get", self.db, name).text)
                self.assertEqual(len(self.ok("search", self.db, "vitae", "--like", name, "--jsonl").lines()), 1)
                prefix = f"{disk}/" + unicodedata.normalize(typed, "r\u00e9s")
                hits = self.ok("search", self.db, "vitae", "--filter", f'path prefix "{prefix}"', "--jsonl").lines()
                self.assertEqual(len(hits), 1)
                self.assertTrue((self.scratch / hits[0]["path"]).exists())
        name = "NFD/" + unicodedata.normalize("NFC", "r\u00e9sum\u00e9.md")
        self.assertEqual(self.ok("delete", self.db, name, "--json").json()["deleted"], 1)
        name = "NFC/" + unicodedata.normalize("NFD", "r\u00e9sum\u00e9.md")
        self.assertEqual(self.ok("delete", self.db, name).text, "deleted 1 of 1 key\n  " + unicodedata.normalize("NFC", name) + "\n")

    def test_what_was_kept_once_is_kept_by_later_runs_and_questions(self):
        for i in range(6):
            self.put(f"n{i}.md", f"Note {i}: the heating.\n")
        self.ok("index", "docs")
        self.docs.rename(self.scratch / "away")
        for i in range(7):
            self.put(f"other{i}.md", f"Other {i}: the garden.\n")
        for _ in range(2):
            ran = self.run_cli("index", "docs", "--json")
            self.assertEqual((ran.code, len(ran.json()["missing"]), ran.json()["removed"]), (2, 6, 0))
            ran = self.ok("--quiet", "docs", "the heating", "--json", "-k", "20")
            self.assertEqual(len(ran.json()["hits"]), 13)
            for text in (ran.errors, ran.json()["warnings"][0]):
                self.assertIn("6 documents were kept although their files are not in docs any more", text)
        self.assertEqual(self.ok("index", "docs", "--remove-missing", "--json").json()["removed"], 6)
        (self.docs / "other0.md").unlink()
        self.assertEqual(self.ok("index", "docs", "--json").json()["removed"], 1)
        self.assertEqual(self.ok("docs", "the garden", "--json").json()["warnings"], [])

    def test_a_folder_that_is_gone_is_answered_from_its_named_database_only(self):
        self.put("a.md", "the heating\n")
        self.ok("index", "docs", "--db", self.db)
        self.docs.rename(self.scratch / "away")
        for words in (["docs", "heating"], ["search", "docs", "heating"]):
            ran = self.ok(*words, "--db", self.db)
            self.assertIn("docs is not there", ran.errors)
            self.assertIn("a.md", ran.text)
        self.refused("none", "heating", "--db", self.db, says=["no folder or database"])
        self.refused("none", "heating", says=["neither a command nor a folder"])

    def test_utf_16_with_damage_is_named_as_invalid_bytes(self):
        self.put("a.txt", "The kettle".encode("utf-16") + b"\x00\xd8" + " boils".encode("utf-16-le"))
        self.assertIn("1 invalid byte sequence became U+FFFD in 1 file: a.txt", self.ok("index", "docs").errors)


if __name__ == "__main__":
    cli_harness.main()
