"""nestor repair, compact, delete --erase and verify --erased, as a person types them."""

import unittest
from pathlib import Path

from cli_harness import CliTest, main


class MaintenanceTest(CliTest):
    def fill(self, count=6):
        done = self.add(*({"key": f"document-{i}", "text": f"word{i} in common"} for i in range(count)))
        self.assertEqual(done.code, 0, done.errors)

    def test_a_whole_database_needs_no_repair(self):
        self.fill()
        self.assertIn("nothing to mend", self.ok("repair", self.db).text)
        self.refused("repair", str(self.scratch / "none"), says=["no Nestor database"])

    def test_a_lost_watermark_needs_leave(self):
        self.fill()
        Path(self.db, "WATERMARK").unlink()
        self.refused("verify", self.db, code=6, says=["WATERMARK"])
        told = self.run_cli("repair", self.db, "--json")
        self.assertEqual(told.code, 6)
        self.assertTrue(told.json()["needs_accept_loss"])
        self.assertEqual(told.json()["documents_kept"], 6)
        self.assertFalse(Path(self.db, "WATERMARK").exists())
        done = self.ok("repair", self.db, "--accept-loss", "--json").json()
        self.assertTrue(done["changed"])
        self.assertIn("all is well", self.ok("verify", self.db).text)

    def test_a_lost_list_of_tables_is_made_again_and_nothing_is_lost(self):
        self.fill()
        for manifest in Path(self.db, "rocksdb").glob("MANIFEST-*"):
            manifest.unlink()
        self.refused("get", self.db, "document-1", code=6)
        done = self.ok("repair", self.db)
        self.assertIn("6 documents", done.text)
        self.assertIn("set aside", done.text)
        self.assertIn("word1", self.ok("get", self.db, "document-1").text)
        self.assertIn("all is well", self.ok("verify", self.db).text)

    def test_erase_and_its_proof(self):
        self.fill()
        self.ok("delete", self.db, "document-1")
        left = self.run_cli("verify", self.db, "--erased", "document-1", "--text", "word1", "--json")
        self.assertEqual(left.code, 1)
        self.assertTrue(left.json()["findings"])
        self.run_cli("delete", self.db, "document-1", "--erase")  # gone already: now its bytes
        proof = self.ok("verify", self.db, "--erased", "document-1", "--text", "word1", "--json").json()
        self.assertTrue(proof["ok"])
        self.assertEqual(proof["findings"], [])
        self.ok("delete", self.db, "document-2", "--erase")
        self.assertIn("nothing is left", self.ok("verify", self.db, "--erased", "document-2").text)

    def test_compact_says_the_sizes(self):
        self.fill()
        sizes = self.ok("compact", self.db, "--json").json()
        self.assertLessEqual({"bytes_before", "bytes_after"}, set(sizes))
        self.assertIn("all is well", self.ok("verify", self.db).text)


if __name__ == "__main__":
    main()
