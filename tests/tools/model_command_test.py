"""`nestor model` as a person meets it. What a pull does with a Hub and a mirror is in model_pull_test.cc."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

import tiny_gguf

CLI = os.environ["NESTOR_CLI"]
SOURCE = Path(os.environ["NESTOR_SOURCE_DIR"])
TINY = SOURCE / "tests/fixtures/tiny-model"
UNVERIFIED = "--allow-unverified-model"


def genuine_model():
    """The folder of the weights as the C++ tests look for it, or None."""
    if os.environ.get("NESTOR_TEST_WITHOUT_MODEL"):
        return None
    data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share")
    folder = Path(os.environ.get("NESTOR_MODEL") or data / "nestor/models/embeddinggemma-300m")
    return folder if (folder / "model.safetensors").is_file() else None


class ModelCommand(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name)
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "NESTOR_MODEL", "TRANSFORMERS_"))}
        self.environment = {
            **kept,
            "XDG_DATA_HOME": str(self.folder / "data"),
            "XDG_CACHE_HOME": str(self.folder / "cache"),
        }

    def nestor(self, *arguments, **environment):
        return subprocess.run(
            [CLI, *arguments], capture_output=True, text=True, timeout=120, env={**self.environment, **environment}
        )

    def put_on_path(self, name, script):
        program = self.folder / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text("#!/bin/sh\n" + script)
        program.chmod(0o755)
        self.environment["PATH"] = f"{program.parent}:{os.environ['PATH']}"

    def test_info_without_a_model_says_where_it_looked_and_what_to_type(self):
        done = self.nestor("model", "info")
        self.assertEqual(done.returncode, 3)
        self.assertIn(str(self.folder / "data/nestor/models/embeddinggemma-300m"), done.stderr)
        self.assertIn("models--google--embeddinggemma-300m", done.stderr)
        self.assertIn("nestor model pull", done.stderr)

    def test_info_on_another_model_shows_it_and_does_not_call_it_whole(self):
        done = self.nestor("model", "info", "--json", "--model", str(TINY))
        self.assertEqual(done.returncode, 6, done.stderr)
        info = json.loads(done.stdout)
        self.assertFalse(info["verified"])
        self.assertEqual((info["width"], info["widths"], info["context_tokens"]), (768, [768, 512, 256, 128], 96))
        self.assertTrue(info["name"].startswith("unverified-"))
        self.assertEqual(len(info["space"]), 64)
        self.assertEqual(info["prompts"]["query"], "task: search result | query: ")
        self.assertEqual(info["prompts"]["document"], "title: none | text: ")
        states = {f["path"]: f["state"] for f in info["files"]}
        self.assertEqual(len(states), 11)
        self.assertEqual(states["model.safetensors"], "differs")
        allowed = self.nestor("model", "info", "--model", str(TINY), "--allow-unverified-model")
        self.assertEqual(allowed.returncode, 0, allowed.stderr)
        self.assertIn("differs", allowed.stdout)

    def test_info_on_the_genuine_model_finds_every_file_good(self):
        folder = genuine_model()
        if folder is None:
            print("SKIPPED: the genuine model is not in place", flush=True)
            self.assertNotEqual(os.environ.get("NESTOR_REQUIRE_ALL"), "1")
            return
        done = self.nestor("model", "info", "--json", "--model", str(folder))
        self.assertEqual(done.returncode, 0, done.stderr)
        info = json.loads(done.stdout)
        self.assertTrue(info["verified"])
        self.assertEqual(info["name"], "embeddinggemma-300m")
        self.assertEqual(info["widths"], [768, 512, 256, 128])
        self.assertEqual({f["state"] for f in info["files"]}, {"good"})

    def own_folder(self):
        return self.folder / "data/nestor/models/embeddinggemma-300m"

    def tiny_copy(self):
        return Path(shutil.copytree(TINY, self.folder / "tiny"))

    def gguf(self, name="tiny-F32.gguf", **how):
        path = self.folder / "hub" / name
        path.parent.mkdir(exist_ok=True)
        tiny_gguf.write_tiny_gguf(TINY, path, **how)
        return path

    def hub(self):
        """Starts the stand-in for the Hub over the folder of gguf(); returns its log."""
        port, log = self.folder / "port", self.folder / "log"
        process = subprocess.Popen(["python3", SOURCE / "tests/support/hub_stand_in.py", self.folder / "hub", port, log])
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        deadline = time.monotonic() + 30
        while not port.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        self.environment.update(HF_ENDPOINT=f"http://127.0.0.1:{port.read_text()}", no_proxy="*")
        return log

    def vector(self, *words):
        done = self.nestor("embed", "a question", UNVERIFIED, *words)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def test_pack_writes_a_file_that_serves_without_its_checkpoint(self):
        tiny = self.tiny_copy()
        for precision in ("int8", "bf16", "f32"):
            done = self.nestor("model", "pack", str(tiny), "--precision", precision, UNVERIFIED, "--json")
            self.assertEqual(done.returncode, 0, done.stderr)
            packed = json.loads(done.stdout)
            path = tiny / f"model-{precision}.nestor-model"
            self.assertEqual((packed["file"], packed["precision"]), (str(path), precision))
            self.assertEqual(packed["bytes"], path.stat().st_size)
            self.assertEqual((packed["packed_from"], len(packed["space"])), ("safetensors F32", 64))
            self.assertGreaterEqual(packed["seconds"], 0)
        reference = self.vector("--model", str(tiny), "--precision", "f32")
        (tiny / "model.safetensors").unlink()
        for precision in ("int8", "bf16", "f32"):
            row = self.vector("--model", str(tiny), "--precision", precision)
            self.assertEqual(row["precision"], precision)
            self.assertGreater(sum(a * b for a, b in zip(row["vector"], reference["vector"])), 0.99)
            alone = self.vector("--model", str(tiny / f"model-{precision}.nestor-model"))
            self.assertEqual(alone, row)
        self.assertFalse((self.folder / "cache/nestor/models").exists())
        info = json.loads(self.nestor("model", "info", "--json", UNVERIFIED, "--model", str(tiny)).stdout)
        self.assertEqual((info["files"], len(info["packed"])), ([], 3))
        self.assertEqual({p["state"] for p in info["packed"]}, {"good"})
        self.assertIn(info["opens"]["what"], [p["file"] for p in info["packed"]])
        self.assertTrue(info["opens"]["backend"])
        text = self.nestor("model", "info", UNVERIFIED, "--model", str(tiny)).stdout
        self.assertIn("model-bf16.nestor-model", text)

    def test_index_and_search_need_a_packed_file_only(self):
        tiny = self.tiny_copy()
        self.assertEqual(self.nestor("model", "pack", str(tiny), UNVERIFIED).returncode, 0)
        packed = str(tiny / "model-int8.nestor-model")
        alone = self.folder / "alone"
        alone.mkdir()
        shutil.copy(packed, alone)
        (self.folder / "docs").mkdir()
        (self.folder / "docs/a.txt").write_text("cats purr at night")
        for model in (packed, str(alone)):
            for words in (["index", str(self.folder / "docs")], ["search", str(self.folder / "docs"), "cats"]):
                done = self.nestor(*words, "--json", "--model", model)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertEqual(json.loads(done.stdout)["precision"], "int8")
        done = self.nestor("search", str(self.folder / "docs"), "cats", "--model", packed, "--precision", "f32")
        self.assertEqual(done.returncode, 2)
        self.assertIn("nestor model pack", done.stderr)

    def test_pack_refuses_what_it_cannot_do_and_leaves_nothing(self):
        tiny = self.tiny_copy()
        before = sorted(tiny.rglob("*"))
        gguf = self.gguf()
        cases = [
            ([str(tiny), "--precision", "int7"], ["int7", "bf16"]),
            ([str(tiny)], ["unverified"]),
            ([str(tiny), UNVERIFIED, "--from", str(TINY)], ["what a GGUF lacks"]),
            ([str(tiny), UNVERIFIED, "--output", str(tiny / "model.safetensors")], ["not replaced"]),
            ([str(gguf), UNVERIFIED, "--from", str(TINY)], ["--output FILE"]),
            ([str(self.gguf("bare.gguf", dense=False)), UNVERIFIED], ["Dense", "--from FOLDER"]),
            ([str(tiny / "config.json")], ["GGUF"]),
        ]
        for words, parts in cases:
            done = self.nestor("model", "pack", *words)
            self.assertEqual(done.returncode, 2, f"{words}: {done.stderr}")
            for part in parts:
                self.assertIn(part, done.stderr)
        self.assertEqual(sorted(tiny.rglob("*")), before)
        self.assertEqual(self.nestor("model", "pack").returncode, 3)

    def test_a_damaged_packed_file_is_named_by_info_and_by_use(self):
        tiny = self.tiny_copy()
        self.assertEqual(self.nestor("model", "pack", str(tiny), UNVERIFIED).returncode, 0)
        path = tiny / "model-int8.nestor-model"
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        for words in (["model", "info"], ["embed", "text"], ["doctor"]):
            done = self.nestor(*words, "--model", str(path))
            self.assertEqual(done.returncode, 6, f"{words}: {done.stderr}{done.stdout}")
            self.assertIn("model-int8.nestor-model", done.stderr + done.stdout)

    def test_pull_makes_a_gguf_file_a_model_without_safetensors(self):
        gguf = self.gguf()
        words = ["model", "pull", "--gguf", str(gguf), "--from", str(TINY), UNVERIFIED, "--precision", "int8"]
        done = self.nestor(*words)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout, f"{self.own_folder()}\n")
        self.assertIn("from GGUF F32", done.stderr)
        self.assertEqual([p.name for p in self.own_folder().iterdir()], ["model-int8.nestor-model"])
        self.assertEqual(self.vector()["precision"], "int8")
        again = self.nestor(*words)
        self.assertEqual(again.returncode, 0, again.stderr)
        self.assertIn("packed already", again.stderr)
        self.assertIn("yours to remove", self.nestor(*words, "--drop-source").stderr)
        self.assertTrue(gguf.exists())

    def test_pull_fetches_a_gguf_packs_it_and_drops_it_on_a_word(self):
        self.gguf()
        log = self.hub()
        words = ["model", "pull", "--gguf", "open/model-GGUF:F32", "--from", str(TINY), UNVERIFIED, "--precision", "int8"]
        refused = self.nestor(*words)
        self.assertEqual(refused.returncode, 3)
        self.assertIn("https://ai.google.dev/gemma/terms", refused.stderr)
        self.assertFalse(log.exists())
        words.append("--accept-gemma-terms")
        done = self.nestor(*words)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("--drop-source", done.stderr)
        self.assertTrue((self.own_folder() / "tiny-F32.gguf").exists())
        other = self.own_folder() / "mine.gguf"
        other.write_bytes(b"GGUF and something of my own")
        done = self.nestor(*words, "--drop-source")
        self.assertEqual(done.returncode, 0, done.stderr)
        names = sorted(p.name for p in self.own_folder().iterdir())
        self.assertEqual(names, ["mine.gguf", "model-int8.nestor-model"])
        asked = log.read_text()
        self.assertIn("in place already", self.nestor(*words).stderr)
        self.assertNotIn("resolve", log.read_text()[len(asked) :])
        # Without a source that is named, what is in place is enough, and nobody is asked.
        for quick in (["--gguf"], []):
            done = self.nestor("model", "pull", *quick, UNVERIFIED, "--precision", "int8", HF_ENDPOINT="http://127.0.0.1:1")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("in place already", done.stderr)

    def test_options_of_pull_that_contradict_each_other_are_refused(self):
        for words, part in [
            (["--drop-source", "--no-pack"], "leave no model"),
            (["--drop-source", "--to", "x"], "--to"),
            (["--precision", "int7"], "int7"),
            (["--gguf", "not/a/place"], "ORG/REPO"),
        ]:
            done = self.nestor("model", "pull", *words)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(part, done.stderr)

    def test_pull_refuses_a_folder_that_is_not_the_model(self):
        done = self.nestor("model", "pull", "--from", str(TINY))
        self.assertEqual(done.returncode, 2)
        self.assertIn("model.safetensors", done.stderr)
        self.assertFalse((self.folder / "data/nestor/models/embeddinggemma-300m").exists())

    def test_pull_without_token_and_word_lists_what_was_tried(self):
        # Nothing may be asked: programs that would be are traps.
        self.put_on_path("curl", "touch '%s'\n" % (self.folder / "asked"))
        self.put_on_path("python3", "touch '%s'\n" % (self.folder / "asked"))
        done = self.nestor("model", "pull")
        self.assertEqual(done.returncode, 3)
        for part in ["the Hugging Face cache", "HF_TOKEN", "--accept-gemma-terms", "--from FOLDER"]:
            self.assertIn(part, done.stderr)
        self.assertFalse((self.folder / "asked").exists())

    def test_the_terms_are_named_before_anything_is_fetched(self):
        self.put_on_path("python3", "echo 'no network here' >&2\nexit 1\n")
        done = self.nestor("model", "pull", "--accept-gemma-terms")
        self.assertEqual(done.returncode, 3)
        self.assertIn("https://ai.google.dev/gemma/terms", done.stderr)
        self.assertIn("no network here", done.stderr)

    def test_ctrl_c_ends_the_child_and_keeps_what_has_come(self):
        pid_file = self.folder / "pid"
        self.put_on_path("curl", f"echo $$ >'{pid_file}.new'; mv '{pid_file}.new' '{pid_file}'\nexec sleep 60\n")
        part = self.folder / "data/nestor/models/.embeddinggemma-300m.partial/hub/model.safetensors.part"
        part.parent.mkdir(parents=True)
        part.write_text("the beginning")
        pull = subprocess.Popen(
            [CLI, "model", "pull"], stderr=subprocess.PIPE, text=True, env={**self.environment, "HF_TOKEN": "word"}
        )
        deadline = time.monotonic() + 30
        while not pid_file.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        pull.send_signal(signal.SIGINT)
        _, errors = pull.communicate(timeout=30)
        self.assertEqual(pull.returncode, 130, errors)
        self.assertIn("type the command again", errors)
        self.assertEqual(part.read_text(), "the beginning")
        with self.assertRaises(ProcessLookupError):
            os.kill(int(pid_file.read_text()), 0)


if __name__ == "__main__":
    unittest.main()
