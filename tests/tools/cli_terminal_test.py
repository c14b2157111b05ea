"""What a terminal gets to see: colours, progress, and nothing that a document could do to it. Cases 31, 32, 42, 55."""

import json
import os
import re
import stat

import cli_harness

COLOR = re.compile(r"\x1b\[[0-9;]*m")
HAZARDS = "clear\x1b[2J link\x1b]8;;http://x\x07 c1\x9b2J rtl\u202eevil zero\u200bwidth"


class TerminalTest(cli_harness.CliTest):
    def test_colours_on_a_terminal_only_and_not_with_no_color(self):
        self.put("a.md", "# Title\n\nsome text")
        self.ok("index", "docs")
        words = ("search", "docs", "text")
        code, shown = self.on_terminal(*words)
        self.assertEqual(code, 0, shown)
        self.assertRegex(shown, COLOR)
        for environment in ({"NO_COLOR": "1"}, {"TERM": "dumb"}, {"TERM": ""}, {"NO_COLOR": "1", "CLICOLOR_FORCE": "1"}):
            code, shown = self.on_terminal(*words, **environment)
            self.assertEqual(code, 0, shown)
            self.assertNotIn("\x1b", shown, environment)
        self.assertNotIn("\x1b", self.ok(*words).text)
        self.assertRegex(self.ok(*words, CLICOLOR_FORCE="1").text, COLOR)
        self.assertNotIn("\x1b", self.ok(*words, CLICOLOR_FORCE="0").text)

    def test_progress_is_a_bar_on_a_terminal_and_nothing_with_quiet(self):
        for i in range(300):
            self.put(f"{i}.md", f"text number {i}")
        code, shown = self.on_terminal("index", "docs")
        self.assertEqual(code, 0, shown)
        self.assertRegex(shown, r"indexing docs  \[[#.]{20}\] +\d+%  \d+/300 files")
        last = shown.rstrip("\r\n").split("\n")[-1]
        self.assertIn("added 300", last.split("\x1b[K")[-1])
        self.put("new.md", "new")
        code, shown = self.on_terminal("--quiet", "index", "docs")
        self.assertNotIn("indexing", shown)
        # Not a terminal, and no ten seconds passed: no progress at all.
        self.put("newer.md", "newer")
        self.assertNotIn("indexing", self.ok("index", "docs").errors)

    def test_what_documents_say_is_escaped(self):
        document = {"key": "k" + HAZARDS, "title": HAZARDS, "text": "passage " + HAZARDS, "metadata": {"m": HAZARDS}}
        self.assertEqual(self.add(document).code, 0)
        for words in (["search", self.db, "x"], ["get", self.db, document["key"]]):
            code, shown = self.on_terminal(*words)
            self.assertEqual(code, 0, shown)
            plain = COLOR.sub("", shown).replace("\r\n", "\n")
            for hazard in ("\x1b", "\x07", "\x9b", "\u202e", "\u200b"):
                self.assertNotIn(hazard, plain)
            self.assertIn(r"clear\x1b[2J", plain)
            self.assertIn(r"\u{202e}", plain)
            self.assertIn(r"c1\x9b", plain)

    def test_json_escapes_what_moves_or_hides_and_means_the_same(self):
        document = {"key": "ไทย" + HAZARDS, "title": HAZARDS + "\U000e0041", "text": "ไทย\x7f" + HAZARDS}
        self.assertEqual(self.add(document).code, 0)
        ran = self.ok("get", self.db, document["key"], "--json")
        for hazard in ("\x1b", "\x07", "\x7f", "\x9b", "\u202e", "\u200b", "\U000e0041"):
            self.assertNotIn(hazard, ran.text)
        self.assertIn("\\u001b", ran.text)
        self.assertIn("\\u202e", ran.text)
        self.assertIn("ไทย", ran.text)
        got = ran.json()
        self.assertEqual({name: got[name] for name in document}, document)

    def test_a_file_gets_the_text_byte_for_byte(self):
        text = "raw\x1b[2J\u202e\ttab\r\nend"
        self.assertEqual(self.add({"key": "a", "text": text}).code, 0)
        self.assertEqual(self.ok("get", self.db, "a").out, text.encode())

    def test_messages_escape_what_was_typed(self):
        for words in (["search", "no\x1b[2Jwhere", "x"], ["no\x1b[2Jcommand"], ["get", self.db, "a\x1b[2J"]):
            ran = self.run_cli(*words)
            self.assertNotIn("\x1b", ran.errors)


class StrangeFolders(cli_harness.CliTest):
    """Case 55: what may lie in a folder."""

    def test_links_pipes_and_strange_names_are_listed_with_the_reason(self):
        self.put("good.md", "text")
        self.put(".hidden.md", "text")
        self.put("two\nlines.md", "text")
        self.put("esc\x1b[2J.md", "text")
        self.put("image.png", b"\x89PNG")
        self.put("data", b"\0\1\2")
        self.put("latin.txt", "a caf\xe9 and enough text around it".encode("latin-1"))
        with open(os.fsencode(self.docs) + b"/bad\xffname.md", "wb") as file:
            file.write(b"text")
        os.symlink("/etc/passwd", self.docs / "passwd")
        os.symlink(".", self.docs / "loop")
        os.mkfifo(self.docs / "pipe")
        report = self.ok("index", "docs", "--json").json()
        reasons = {entry["path"]: entry["reason"] for entry in report["skipped"]}
        self.assertEqual(
            reasons,
            {
                ".hidden.md": "hidden", "image.png": "not text by its name", "data": "not text by its content",
                "bad\\xffname.md": "name not usable", "passwd": "symbolic link", "loop": "symbolic link",
                "pipe": "not a regular file",
            },
        )
        self.assertEqual((report["files"], report["repaired_files"], report["replaced_sequences"]), (4, 1, 1))
        ran = self.ok("search", "docs", "text")
        self.assertIn(r"docs/two\x0alines.md:1", ran.text)
        self.assertIn(r"docs/esc\x1b[2J.md:1", ran.text)
        again = self.ok("index", "docs", "--verbose")
        self.assertIn("skipped 7: 2 symbolic link", again.errors)
        self.assertIn(r"  bad\xffname.md: name not usable (not UTF-8)", again.errors)
        self.assertNotIn("\x1b", again.errors)
        path = next(hit["path"] for hit in self.ok("search", "docs", "x", "--json").json()["hits"] if "two" in hit["key"])
        self.assertEqual(path, "docs/two\nlines.md")

    def test_a_device_is_skipped_with_the_reason(self):  # 55
        self.docs.joinpath("a.md").write_text("alpha")
        try:
            os.mknod(self.docs / "zero", 0o666 | stat.S_IFCHR, os.makedev(1, 5))
        except PermissionError:
            os.mkfifo(self.docs / "zero")  # only root makes devices; both take the same way
        ran = self.ok("index", str(self.docs), "--json")
        self.assertEqual([s["path"] for s in ran.json()["skipped"]], ["zero"])

    def test_ill_formed_bytes_in_a_short_text_file_are_repaired(self):  # 25
        self.docs.joinpath("b.txt").write_bytes(b"bad \xff\xfe utf8")
        self.ok("index", str(self.docs))
        self.assertIn("\ufffd", self.ok("get", str(self.docs), "b.txt").text)

    def test_a_folder_with_a_strange_name_works(self):
        folder = self.scratch / "we ird\n\x1b[2J"
        folder.mkdir()
        (folder / "a.md").write_text("text")
        ran = self.ok("index", str(folder))
        self.assertNotIn("\x1b", ran.text + ran.errors)
        ran = self.ok(str(folder), "text")
        self.assertNotIn("\x1b", ran.text + ran.errors)
        self.assertEqual(json.loads(self.ok(str(folder), "text", "--jsonl").text)["key"], "a.md")


if __name__ == "__main__":
    cli_harness.main()
