"""Indexes of folders that are moved, listed and pruned; texts that are there already are not embedded again."""

import json
import os
import shutil

import cli_harness


class ListTest(cli_harness.CliTest):
    def folder(self, name, text="# Heating\n\nThe boiler is in the cellar.\n"):
        (self.scratch / name).mkdir(parents=True, exist_ok=True)
        (self.scratch / name / "a.md").write_text(text)

    def embedded(self, folder, *options):
        report = self.ok("index", folder, "--json", *options).json()
        return report["passages_embedded"]

    def listed(self):
        ran = self.run_cli("list", "--json", model=False)
        return {os.path.basename(entry["folder"]): entry for entry in ran.json()["indexes"]}

    def test_a_renamed_copied_moved_or_touched_file_is_not_embedded_again(self):
        self.folder("docs")
        self.assertEqual(self.embedded("docs"), 1)
        (self.docs / "a.md").rename(self.docs / "b.md")
        self.assertEqual(self.embedded("docs"), 0)
        (self.docs / "sub").mkdir()
        (self.docs / "b.md").rename(self.docs / "sub/b.md")
        self.assertEqual(self.embedded("docs"), 0)
        shutil.copy(self.docs / "sub/b.md", self.docs / "copy.md")
        self.assertEqual(self.embedded("docs"), 0)
        (self.docs / "copy.md").touch()
        self.assertEqual(self.embedded("docs"), 0)
        self.assertEqual(self.ok("search", "docs", "boiler", "--jsonl").text.count('"key"'), 2)
        self.assertTrue(self.ok("verify", "docs", "--json").json()["ok"])

    def test_equal_passages_of_one_batch_are_embedded_once(self):
        report = self.add(*({"key": f"k{i}", "title": "T", "text": "the same text"} for i in range(5)), options=["--json"]).json()
        self.assertEqual((report["passages_embedded"], report["passages_reused"]), (1, 4))
        scores = {hit["score"] for hit in self.ok("search", self.db, "same", "--jsonl").lines()}
        self.assertEqual(len(scores), 1)

    def test_a_moved_folder_keeps_its_index(self):
        self.folder("p")
        self.ok("index", "p")
        (self.scratch / "p").rename(self.scratch / "q")
        self.assertEqual(self.embedded("q"), 0)
        self.assertEqual(list(self.listed()), ["q"])
        (self.scratch / "q").rename(self.scratch / "r")
        # A question finds it there too, without indexing.
        self.assertEqual(len(self.ok("search", "r", "boiler", "--jsonl").lines()), 1)
        # A new folder in the old place is another one, and a copy has an index of its own.
        self.folder("p", "another text\n")
        self.assertEqual(self.embedded("p"), 1)
        shutil.copytree(self.scratch / "r", self.scratch / "copy")
        self.ok("index", "copy")
        self.assertEqual(sorted(self.listed()), ["copy", "p", "r"])

    def test_list_shows_each_folder_with_its_state(self):
        self.assertEqual(self.run_cli("list", model=False).code, 1)
        for name in ("here", "gone", "media/disk/notes"):
            self.folder(name)
            self.ok("index", name)
        shutil.rmtree(self.scratch / "gone")
        shutil.rmtree(self.scratch / "media/disk/notes")
        listed = self.listed()
        self.assertEqual({name: entry["state"] for name, entry in listed.items()}, {"here": "there", "gone": "gone", "notes": "unreachable"})
        for entry in listed.values():
            self.assertEqual(entry["documents"], 1)
            self.assertGreater(entry["bytes"], 1000)
            self.assertGreater(entry["used_seconds"], 1_700_000_000)
        shown = self.ok("list", model=False).text
        self.assertIn(f"{self.scratch.resolve()}/gone  (gone)", shown)
        # An index without its note says itself whose it is.
        for note in (self.scratch / "data/nestor/indexes").glob("*.json"):
            note.unlink()
        self.assertEqual({name: entry["state"] for name, entry in self.listed().items()}, {"here": "there", "gone": "gone", "notes": "unreachable"})

    def test_prune_removes_what_is_gone_and_only_when_it_may(self):
        for name in ("here", "gone", "media/disk/notes"):
            self.folder(name)
            self.ok("index", name)
        shutil.rmtree(self.scratch / "gone")
        shutil.rmtree(self.scratch / "media/disk/notes")
        self.assertEqual(self.ok("prune", "--dry-run", "--json", model=False).json()["removed"], False)
        self.assertEqual(self.run_cli("prune", model=False).code, 2)
        self.assertIn("would remove 1 index\n", self.ok("prune", "--dry-run", model=False).errors)
        code, shown = self.on_terminal("prune", answer="n\n")
        self.assertEqual((code, "remove this index? [y/N]" in shown), (1, True))
        self.assertIn("nothing was removed\r\n", shown)
        self.assertEqual(len(self.listed()), 3)
        ran = self.ok("prune", "--yes", model=False)
        self.assertIn("gone", ran.text)
        self.assertIn("may be on a disk that is not mounted", ran.errors)
        self.assertEqual(sorted(self.listed()), ["here", "notes"])
        self.refused("prune", "here", "--yes", model=False, says=["is there"])
        self.refused("prune", "none", "--yes", model=False, says=["no index of a folder"])
        self.ok("prune", "media/disk/notes", "--yes", model=False)
        self.assertEqual(list(self.listed()), ["here"])
        self.assertEqual(self.run_cli("prune", "--yes", model=False).code, 1)
        left = {path.name.split(".")[0] for path in (self.scratch / "data/nestor/indexes").iterdir()}
        self.assertEqual(len(left), 1)
        self.assertEqual(len(self.ok("search", "here", "boiler", "--jsonl").lines()), 1)

    def notes(self):
        return sorted((self.scratch / "data/nestor/indexes").glob("*.json"))

    def test_a_moved_folder_stays_bound_when_its_old_place_is_taken(self):
        self.folder("p")
        self.ok("index", "p")
        (self.scratch / "p").rename(self.scratch / "q")
        stats = self.ok("stats", "q", "--json").json()
        self.assertEqual(os.path.basename(stats["collections"][0]["folder"]), "q")
        self.folder("p", "another text\n")
        self.assertEqual(self.embedded("p"), 1)
        self.assertEqual(self.embedded("q"), 0)
        self.ok("q", "boiler")

    def test_an_index_of_before_that_was_moved_and_not_bound_works_again(self):
        self.folder("p")
        self.ok("index", "p")
        self.folder("q")
        self.ok("index", "q")
        database = self.ok("index", "q", "--json").json()["database"]
        shutil.rmtree(database)
        shutil.copytree(self.ok("index", "p", "--json").json()["database"], database)
        self.assertEqual(self.embedded("q"), 0)

    def test_an_index_moves_only_to_a_folder_that_has_one_of_its_files(self):
        self.folder("p")
        self.ok("index", "p")
        (self.scratch / "p").rename(self.scratch / "q")
        (self.scratch / "q/a.md").rename(self.scratch / "q/b.md")
        self.assertEqual(self.embedded("q"), 1)
        self.assertEqual({name: entry["state"] for name, entry in self.listed().items()}, {"p": "gone", "q": "there"})

    def test_an_identity_without_a_time_moves_no_index(self):
        self.folder("p")
        self.ok("index", "p")
        (note,) = self.notes()
        written = json.loads(note.read_text())
        self.assertRegex(written["identity"], r"^\d+:\d+:\d+:\d+\.\d+$")
        for identity in (written["identity"].rsplit(":", 1)[0], ""):
            note.write_text(json.dumps({**written, "identity": identity}))
            (self.scratch / "p").rename(self.scratch / "q")
            self.refused("search", "q", "boiler", says=["no index yet"])
            (self.scratch / "q").rename(self.scratch / "p")

    def test_hidden_files_and_folders_of_disks_do_not_make_a_folder_gone(self):
        self.folder("disk/notes")
        self.ok("index", "disk/notes")
        shutil.rmtree(self.scratch / "disk/notes")
        (self.scratch / "disk/.Trash-0").mkdir()
        self.assertEqual(self.listed()["notes"]["state"], "unreachable")
        (self.scratch / "disk/other").mkdir()
        self.assertEqual(self.listed()["notes"]["state"], "gone")
        (note,) = self.notes()
        for folder in ("/mnt/nestor-none", "/media/nestor-none", "/run/media/somebody/nestor-none", "/Volumes/nestor-none"):
            note.write_text(json.dumps({"folder": folder, "identity": ""}))
            self.assertEqual(self.listed()["nestor-none"]["state"], "unreachable")

    def test_prune_finishes_what_a_killed_one_left(self):
        self.folder("p")
        self.ok("index", "p")
        (note,) = self.notes()
        note.with_suffix("").rename(note.with_suffix(".removed"))
        note.unlink()
        self.assertEqual(self.run_cli("list", model=False).code, 1)
        self.assertEqual(self.run_cli("prune", "--yes", model=False).code, 1)
        self.assertEqual(list((self.scratch / "data/nestor/indexes").iterdir()), [])


if __name__ == "__main__":
    cli_harness.main()
