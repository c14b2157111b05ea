"""What the tests of the command line share: a scratch home, the tiny model, and ways to run the binary.

Environment: NESTOR_CLI (the binary), NESTOR_SOURCE_DIR, NESTOR_TINY_MODEL (default: tests/fixtures/tiny-model).
"""

import json
import os
import pty
import resource
import select
import shutil
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

SOURCE = Path(os.environ.get("NESTOR_SOURCE_DIR", Path(__file__).resolve().parents[2]))
CLI = os.environ["NESTOR_CLI"]
TINY_MODEL = os.environ.get("NESTOR_TINY_MODEL", str(SOURCE / "tests/fixtures/tiny-model"))
MODEL = ["--model", TINY_MODEL, "--allow-unverified-model"]


def default_precision():
    """What this machine packs and runs where nobody asks for another: int8, or f32 without vector units for it."""
    with tempfile.TemporaryDirectory() as cache:
        done = subprocess.run(
            [CLI, "model", "info", "--json", *MODEL], capture_output=True, env={**os.environ, "XDG_CACHE_HOME": cache}
        )
    return json.loads(done.stdout)["opens"]["precision"]


PRECISION = default_precision()


def processor_seconds():
    """Of all processes that were started from here and have ended: other programs on the machine do not count."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Ran:
    """Exit code, stdout and stderr (bytes and text) of one run, and the processor time that it took."""

    def __init__(self, code, out, err, seconds=0.0):
        self.code, self.out, self.err, self.seconds = code, out, err, seconds
        self.text, self.errors = out.decode("utf-8", "replace"), err.decode("utf-8", "replace")

    def json(self):
        return json.loads(self.text)

    def lines(self):
        return [json.loads(line) for line in self.text.splitlines()]


class CliTest(unittest.TestCase):
    """Each test has a folder of its own, which is also its HOME."""

    def setUp(self):
        self.scratch = Path(tempfile.mkdtemp(prefix="nestor-cli-"))
        self.addCleanup(shutil.rmtree, self.scratch, True)
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.scratch / "home"),
            "XDG_DATA_HOME": str(self.scratch / "data"),
            "XDG_CACHE_HOME": str(self.scratch / "cache"),
            "TERM": "xterm",
            "LC_ALL": "C.UTF-8",
        }
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"):
            if name in os.environ:
                self.environment[name] = os.environ[name]
        self.docs = self.scratch / "docs"
        self.docs.mkdir()
        self.db = str(self.scratch / "my.db")

    def run_cli(self, *words, input=b"", model=True, timeout=120, cwd=None, **environment):
        command = [CLI, *map(os.fsdecode, MODEL if model else []), *words]
        start = processor_seconds()
        ran = subprocess.run(
            command, input=input, capture_output=True, timeout=timeout, cwd=cwd or self.scratch,
            env={**self.environment, **environment},
        )
        return Ran(ran.returncode, ran.stdout, ran.stderr, processor_seconds() - start)

    def ok(self, *words, **options):
        ran = self.run_cli(*words, **options)
        self.assertEqual(ran.code, 0, f"{words}: {ran.errors}\n{ran.text}")
        return ran

    def refused(self, *words, code=2, says=(), **options):
        """Runs and wants a failure whose message holds every word of `says`, and empty stdout."""
        ran = self.run_cli(*words, **options)
        self.assertEqual(ran.code, code, f"{words}: {ran.errors}\n{ran.text}")
        self.assertEqual(ran.out, b"")
        for word in says:
            self.assertIn(word, ran.errors)
        return ran

    def put(self, name, text):
        path = self.docs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())

    def add(self, *documents, options=(), **run):
        lines = "".join(json.dumps(document) + "\n" for document in documents)
        return self.run_cli("add", self.db, "--jsonl", *options, input=lines.encode(), **run)

    def on_terminal(self, *words, answer=None, **environment):
        """Runs with stdout and stderr on one terminal; returns exit code and everything it showed. With an
        answer standard input is that terminal too, and the answer is typed there."""
        main, other = pty.openpty()
        process = subprocess.Popen(
            [CLI, *MODEL, *words], stdin=subprocess.DEVNULL if answer is None else other, stdout=other, stderr=other,
            cwd=self.scratch, env={**self.environment, **environment},
        )
        os.close(other)
        if answer:
            os.write(main, answer.encode())
        shown = b""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if select.select([main], [], [], 0.1)[0]:
                try:
                    part = os.read(main, 65536)
                except OSError:  # Linux answers so when the other end is closed
                    break
                if not part:
                    break
                shown += part
        os.close(main)
        return process.wait(30), shown.decode("utf-8", "replace")


def main():
    unittest.main(verbosity=1)
