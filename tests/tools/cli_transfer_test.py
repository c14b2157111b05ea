"""`nestor backup`, `bundle`, `unbundle`, `export` and `import`, as a person types them."""

import hashlib
import json
import subprocess

import cli_harness


class TransferTest(cli_harness.CliTest):
    def setUp(self):
        super().setUp()
        self.add(*({"key": f"k{i}", "title": "T", "text": f"text number {i}", "metadata": {"i": i}} for i in range(5)))

    def hits(self, database):
        return self.ok("search", database, "number 3", "--json", "-k", "9").json()["hits"]

    def test_backup_beside_a_writer_is_a_database(self):
        writer = subprocess.Popen(
            [cli_harness.CLI, *cli_harness.MODEL, "add", self.db, "--jsonl", "--ack", "--batch", "1"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=self.environment,
        )
        writer.stdin.write(b'{"key": "late", "text": "late"}\n')
        writer.stdin.flush()
        self.assertEqual(json.loads(writer.stdout.readline()), "late")
        copy = str(self.scratch / "copy")
        report = self.ok("backup", self.db, copy, "--json", model=False).json()
        writer.kill()
        writer.communicate()
        self.assertEqual((report["documents"], report["verified"]), (6, True))
        self.assertEqual(self.ok("get", copy, "late", "--json").json()["text"], "late")
        self.refused("backup", self.db, copy, model=False, says=["is there already"])
        self.assertIn("put the copy in the place", self.ok("backup", "--help").text)

    def test_bundle_and_unbundle_say_the_same_fingerprint(self):
        file, back = self.scratch / "db.bundle", str(self.scratch / "back")
        made = self.ok("bundle", self.db, str(file), "--json", model=False).json()
        self.assertEqual(made["sha256"], hashlib.sha256(file.read_bytes()[:-64]).hexdigest())
        read = self.ok("unbundle", str(file), back, "--json", model=False).json()
        self.assertEqual(read, made)
        self.assertEqual(self.hits(back), self.hits(self.db))
        file.write_bytes(file.read_bytes()[:-100])
        self.refused("unbundle", str(file), str(self.scratch / "other"), model=False, code=6, says=["cut or damaged"])
        self.assertFalse((self.scratch / "other").exists())

    def test_export_and_import(self):
        lines = self.ok("export", self.db, "--filter", "i >= 1", model=False).out
        other = str(self.scratch / "other.db")
        report = self.ok("import", other, "--json", input=lines).json()
        self.assertEqual((report["added"], report["vectors_taken"], report["note"]), (4, 4, ""))
        self.assertEqual([hit for hit in self.hits(self.db) if hit["key"] != "k0"], self.hits(other))
        self.assertEqual(self.ok("import", other, "--json", input=lines).json()["unchanged"], 4)
        self.refused("import", other, input=lines[:-30], says=["line 6", "0 documents"])
        # Without a model vectors are still taken, into a database that knows whose they are.
        bare = str(self.scratch / "bare.db")
        self.assertEqual(self.ok("import", bare, "--json", input=lines, model=False).json()["vectors_taken"], 4)
        self.assertEqual(self.hits(bare), self.hits(other))
        self.assertEqual(self.run_cli("export", self.db, "--filter", "i > 99", model=False).code, 1)

    def test_a_collection_by_distance_stays_one(self):
        points = [{"key": f"p{i}", "text": "t", "vector": [i, i * i]} for i in range(1, 6)]
        for metric in ("l2", "dot", "cosine"):
            mine, other = str(self.scratch / f"{metric}.db"), str(self.scratch / f"{metric}-2.db")
            lines = "".join(json.dumps(point) + "\n" for point in points).encode()
            self.ok("add", mine, "--jsonl", "--metric", metric, input=lines, model=False)
            self.ok("import", other, input=self.ok("export", mine, model=False).out, model=False)
            ask = ["--vector", "[2,3]", "--json"]
            hits = [self.ok("search", db, *ask, model=False).json()["hits"] for db in (mine, other)]
            self.assertEqual(hits[0], hits[1])
            metrics = [self.ok("stats", db, "--json", model=False).json()["collections"][0]["metric"] for db in (mine, other)]
            self.assertEqual(metrics, [metric, metric])
            file = str(self.scratch / f"{metric}.bundle")
            bundled = self.ok("bundle", mine, file, "--json", model=False).json()
            self.assertEqual(bundled["collections"][0]["metric"], metric)

    def test_an_export_of_version_1_takes_the_metric_that_is_asked_for(self):
        mine, other = str(self.scratch / "mine.db"), str(self.scratch / "other.db")
        self.ok("add", mine, "--jsonl", "--metric", "l2", input=b'{"key": "p", "text": "t", "vector": [3, 4]}\n', model=False)
        header, rest = self.ok("export", mine, model=False).out.split(b"\n", 1)
        header = json.loads(header)
        header.update(version=1, language="")
        del header["metric"], header["attributes"]
        lines = json.dumps(header).encode() + b"\n" + rest
        self.assertEqual(self.ok("import", mine, "--json", input=lines, model=False).json()["unchanged"], 1)
        self.refused("import", other, "--metric", "near", input=lines, model=False, says=["near"])
        self.ok("import", other, "--metric", "l2", input=lines, model=False)
        self.assertEqual(self.ok("stats", other, "--json", model=False).json()["collections"][0]["metric"], "l2")


if __name__ == "__main__":
    cli_harness.main()
