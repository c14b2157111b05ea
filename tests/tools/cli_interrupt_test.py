"""Signals and broken pipes: a valid database stays, a rerun finishes, nobody prints a stack trace."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import cli_harness
from cli_harness import CLI, MODEL


class InterruptTest(cli_harness.CliTest):
    def setUp(self):
        super().setUp()
        self.total = 400
        for i in range(self.total):
            self.put(f"{i:03}.md", f"# Heading {i}\n\n" + f"sentence {i} says something. " * 40)

    def start(self, *words, **options):
        return subprocess.Popen(
            [cli_harness.CLI, *cli_harness.MODEL, *words], cwd=self.scratch, env=self.environment,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options,
        )

    def wait_for_documents(self, process):
        """Until some of the documents are committed, seen from a second process."""
        for _ in range(600):
            if process.poll() is not None:
                return
            ran = self.run_cli("stats", self.db, "--json")
            if ran.code == 0 and any(c["documents"] for c in ran.json()["collections"]):
                return
            time.sleep(0.02)
        self.fail("nothing was committed")

    def finish(self, kept_at_least):
        self.assertTrue(self.ok("verify", self.db, "--json").json()["ok"])
        report = self.ok("index", "docs", "--db", self.db, "--json").json()
        self.assertEqual(report["added"] + report["unchanged"], self.total)
        self.assertGreaterEqual(report["unchanged"], kept_at_least)
        self.assertTrue(self.ok("verify", self.db, "--json").json()["ok"])

    def test_ctrl_c_keeps_what_is_done_and_says_how_to_go_on(self):
        for stop in (signal.SIGINT, signal.SIGTERM):
            process = self.start("index", "docs", "--db", self.db, "--json")
            self.wait_for_documents(process)
            process.send_signal(stop)
            out, errors = process.communicate(timeout=60)
            if process.returncode == 130:
                self.assertIn("nestor index docs", errors.decode())
                report = json.loads(out)
                self.assertTrue(report["interrupted"])
                self.finish(report["added"])
            else:  # it was done before the signal came
                self.assertEqual(process.returncode, 0, errors)
            self.ok("delete", self.db, *[f"{i:03}.md" for i in range(self.total)])

    def test_a_kill_keeps_what_is_done(self):
        process = self.start("index", "docs", "--db", self.db)
        self.wait_for_documents(process)
        process.kill()
        process.communicate(timeout=60)
        self.finish(1)

    def test_ctrl_c_ends_a_wait_for_input(self):
        for words in (["add", self.db, "--jsonl"], ["embed", "--jsonl"], ["search", "docs", "-"]):
            process = self.start(*words, stdin=subprocess.PIPE)
            time.sleep(1)
            process.send_signal(signal.SIGINT)
            process.wait(30)  # before communicate() ends the input
            _, errors = process.communicate()
            self.assertEqual(process.returncode, 130, errors)

    def test_ctrl_c_ends_the_wait_for_a_fifo_without_a_writer(self):
        fifo = self.scratch / "fifo"
        os.mkfifo(fifo)
        started = subprocess.Popen(
            [CLI, *MODEL, "add", self.db, "--jsonl", str(fifo)], env=self.environment, stderr=subprocess.PIPE)
        time.sleep(0.5)
        started.send_signal(signal.SIGINT)
        _, errors = started.communicate(timeout=20)
        self.assertEqual(started.returncode, 130, errors)

    def test_closed_standard_descriptors_end_in_an_error_and_touch_no_file(self):
        lines = b'{"key": "a", "text": "alpha"}\n'
        self.ok("add", self.db, "--jsonl", input=lines)
        for name in ("add", "embed"):
            words = [name, self.db, "--jsonl"] if name == "add" else ["embed", "--jsonl"]
            script = 'exec "$0" "$@" <&-'
            ran = subprocess.run(["sh", "-c", script, CLI, *MODEL, *words], env=self.environment,
                                 capture_output=True, timeout=20)
            self.assertEqual(ran.returncode, 2, ran.stderr)
        before = {path: path.stat().st_size for path in Path(self.db).rglob("*") if path.name == "LOCK"}
        script = 'exec "$0" "$@" <&- >&- 2>&-'
        subprocess.run(["sh", "-c", script, CLI, *MODEL, "delete", self.db, "nothing-there"],
                       env=self.environment, timeout=20)
        after = {path: path.stat().st_size for path in Path(self.db).rglob("*") if path.name == "LOCK"}
        self.assertEqual(before, after)
        self.ok("verify", self.db)

    def test_a_reader_that_goes_away_is_no_error_message(self):
        self.ok("index", "docs", "--db", self.db)
        for ignored in (False, True):
            process = self.start(
                "search", self.db, "sentence", "-k", "400",
                preexec_fn=(lambda: signal.signal(signal.SIGPIPE, signal.SIG_IGN)) if ignored else None,
                restore_signals=not ignored,
            )
            process.stdout.readline()
            process.stdout.close()
            errors = process.stderr.read()
            process.stderr.close()
            process.wait(60)
            self.assertNotIn(b"rror", errors)
            self.assertIn(process.returncode, (-signal.SIGPIPE, 0))

    def test_a_full_disk_behind_stdout_is_an_error(self):
        if not os.path.exists("/dev/full"):
            self.skipTest("no /dev/full here")
        self.ok("index", "docs", "--db", self.db)
        with open("/dev/full", "wb") as full:
            ran = subprocess.run(
                [cli_harness.CLI, *cli_harness.MODEL, "get", self.db, "000.md"], stdout=full, stderr=subprocess.PIPE,
                env=self.environment, check=False,
            )
        self.assertEqual(ran.returncode, 2)
        self.assertIn(b"standard output", ran.stderr)


if __name__ == "__main__":
    cli_harness.main()
