"""The launcher of the consumer tests takes an object only for the command and the text that it was made from."""

import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

LAUNCHER = Path(__file__).resolve().parents[1] / "consumer/reuse_object.py"
OBJECT = "CMakeFiles/nestor_core.dir/a.cc.o"
FLAGS = ["-DNESTOR_A", "-Iinclude", "-O3", "-Werror", "-std=c++20"]
# A compiler that writes the word "compiled" where the object belongs.
COMPILER = "#!/bin/sh\nwhile [ $# -gt 0 ]; do [ \"$1\" != -o ] || echo compiled >\"$2\"; shift; done\n"


class ReuseObjectTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.root = Path(self.folder.name)
        self.compiler = self.root / "c++"
        self.compiler.write_text(COMPILER)
        self.compiler.chmod(0o755)
        for place in ("build", "outside/nestor"):
            (self.root / place / OBJECT).parent.mkdir(parents=True)
        (self.root / "build" / OBJECT).write_text("reused\n")

    def command(self, source, flags, object_name):
        made = ["-MD", "-MT", object_name, "-MF", object_name + ".d", "-o", object_name, "-c", source]
        return [str(self.compiler), *flags, *made]

    def ask(self, flags, *, name="a.cc", recorded_text="int a;\n", text="int a;\n"):
        """What the object holds when `text` is compiled by `flags` beside a build of `recorded_text` by FLAGS."""
        recorded, source = self.root / "build" / name, self.root / "outside" / name
        recorded.write_text(recorded_text)
        source.write_text(text)
        command = " ".join(self.command(str(recorded), FLAGS, OBJECT))
        (self.root / "build/compile_commands.json").write_text(json.dumps([{"command": command, "file": str(recorded)}]))
        outside = self.root / "outside"
        words = self.command(str(source), flags, "nestor/" + OBJECT)
        environment = {"PATH": "/usr/bin:/bin", "CCACHE_DISABLE": "1"}
        launcher = [sys.executable, "-B", str(LAUNCHER), str(self.root / "build")]
        subprocess.run([*launcher, *words], cwd=outside, env=environment, check=True)
        made = (outside / "nestor" / OBJECT).read_text().strip()
        self.assertEqual((outside / "objects.log").read_text().splitlines()[-1], f"{made} nestor/{OBJECT}")
        return made

    def test_the_same_command_and_text_give_the_object(self):
        self.assertEqual(self.ask(FLAGS), "reused")

    def test_what_only_a_developer_has_and_the_level_do_not_count(self):
        self.assertEqual(self.ask(["-DNESTOR_A", "-Iinclude", "-O0", "-std=c++20"]), "reused")

    def test_another_definition_folder_or_flag_is_compiled(self):
        for flags in ([*FLAGS, "-DNESTOR_B"], [*FLAGS, "-Iother"], [*FLAGS, "-fshort-enums"], FLAGS[1:]):
            with self.subTest(flags=flags):
                self.assertEqual(self.ask(flags), "compiled")

    def test_another_text_is_compiled(self):
        self.assertEqual(self.ask(FLAGS, text="int b;\n"), "compiled")

    def test_code_of_one_instruction_set_is_compiled_for_another_level(self):
        without = [flag for flag in FLAGS if flag != "-O3"]
        unity = '#include "/somewhere/core/vector_math.cc"\n'
        for level, expected in (("-O0", "compiled"), ("-O3", "reused")):
            with self.subTest(level=level):
                self.assertEqual(self.ask([*without, level], name="backend_avx2.cc"), expected)
                self.assertEqual(self.ask([*without, level], recorded_text=unity, text=unity), expected)


if __name__ == "__main__":
    unittest.main()
