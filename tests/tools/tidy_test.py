"""Each rule of the house refuses a tree that breaks it, and a clean tree passes."""

import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

TOOLS = Path(__file__).resolve().parents[2] / "tools"
FOLDERS = ["core", "embed", "index", "storage", "query", "tools", "tests", "benchmarks"]
HEADER = "// What it is for. Threads: values.\n#pragma once\n"


def run(script, files):
    """Exit status and output of a checker over a tree that is clean but for `files`."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        clean = {f"{name}/README.md": "# A folder\n" for name in FOLDERS}
        clean[".clang-format"] = "BasedOnStyle: Google\nColumnLimit: 100\n"
        for path, text in {**clean, **files}.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            if text is not None:
                (root / path).write_text(text, encoding="utf-8")
        command = [sys.executable, "-B", str(TOOLS / script), "--root", folder]
        ran = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "GIT_DIR": "/dev/null"})
        return ran.returncode, ran.stdout + ran.stderr


class TidyTest(unittest.TestCase):
    def refused(self, rule, path, text):
        status, output = run("tidy.py", {path: text})
        self.assertEqual(status, 1, output)
        self.assertIn(f"[{rule}]", output)
        self.assertIn(path.split("/")[0], output)
        others = [line for line in output.splitlines() if not line.endswith(f"[{rule}]")]
        self.assertEqual(others, [], "another rule was broken too, so this one may not be what refused")

    def accepted(self, path, text):
        status, output = run("tidy.py", {path: text})
        self.assertEqual(status, 0, output)

    def test_a_clean_tree_passes(self):
        self.accepted("core/a.h", HEADER)

    def test_a_ninth_folder_is_refused(self):
        self.refused("top_level", "docs/a.md", "a\n")

    def test_two_files_of_one_name_are_refused(self):
        status, output = run("tidy.py", {"core/same.h": HEADER, "index/same.h": HEADER})
        self.assertEqual(status, 1)
        self.assertIn("index/same.h: the name is taken by core/same.h", output)

    def test_a_file_over_500_lines_is_refused(self):
        self.refused("file_length", "core/a.cc", "int a;\n" * 501)
        self.accepted("core/a.cc", "int a;\n" * 500)

    def test_a_function_over_70_lines_is_refused(self):
        def body(count):
            return "namespace nestor {\nint f(int a) {\n" + "  ++a;\n" * count + "  return a;\n}\n}  // namespace nestor\n"

        self.refused("function_length", "core/a.cc", body(68))
        self.accepted("core/a.cc", body(67))

    def test_a_member_function_over_70_lines_is_refused(self):
        text = "class A {\n public:\n  void f() const {\n" + "    g();\n" * 70 + "  }\n};\n"
        self.refused("function_length", "core/a.cc", text)

    def test_braces_in_text_and_comments_do_not_confuse_the_counting(self):
        text = "void f() {\n  g(\"{\", '{', 1'000);  // {\n}\n" + "int a;\n" * 80
        self.accepted("core/a.cc", text)

    def test_a_python_function_over_70_lines_is_refused(self):
        self.refused("function_length", "tools/a.py", "def f():\n" + "    pass\n" * 70)

    def test_printing_in_the_library_is_refused_and_in_tools_is_not(self):
        for call in ['std::cout << "a"', 'std::printf("a")', 'fprintf(stderr, "a")', 'fmt::print("a")']:
            text = f"void f() {{ {call}; }}\n"
            self.refused("printing", "query/a.cc", text)
            self.accepted("tools/a.cc", text)
        self.accepted("query/a.cc", "// std::cout is for the command line\nvoid f() { snprintf(a, 1, b); }\n")

    def test_flags_of_one_processor_are_refused(self):
        for flag in ["-march=native", "-mavx512f", "-mtune=generic"]:
            self.refused("machine_flags", "core/CMakeLists.txt", f"target_compile_options(a PRIVATE {flag})\n")

    def test_intrinsics_outside_the_backends_are_refused(self):
        text = "__attribute__((target(\"avx2\"))) void f();\n"
        self.refused("intrinsics", "embed/encoder.cc", text)
        self.refused("intrinsics", "index/a.cc", "#include <immintrin.h>\n")
        self.accepted("embed/backend_amx.cc", text)
        self.accepted("core/vector_math_avx2.cc", text)

    def test_trees_of_the_json_library_are_refused_in_the_library(self):
        text = "#include <nlohmann/json.hpp>\n"
        self.refused("json_library", "query/a.cc", text)
        self.refused("json_library", "core/a.h", HEADER + text)
        self.accepted("core/json.cc", text)
        self.accepted("tools/a.cc", text)

    def test_a_folder_without_a_short_readme_is_refused(self):
        self.refused("readmes", "core/README.md", None)
        self.refused("readmes", "core/README.md", "line\n" * 41)

    def test_unfinished_work_is_refused(self):
        self.refused("unfinished", "core/a.cc", "// TODO: later\n")

    def test_a_path_of_one_machine_is_refused(self):
        self.refused("machine_paths", "tools/a.sh", "cd /home/someone\n")
        self.accepted("tools/a.sh", 'cd "$HOME/work/a" && ls ./root/a\n')

    def test_registry_hosts_are_refused(self):
        self.refused("hosts", "tools/a.sh", "curl https://pypi.org/simple\n")

    def test_the_model_host_belongs_to_the_model_command(self):
        line = 'const char* kHost = "https://huggingface.co";\n'
        self.refused("hosts", "embed/model_config.cc", line)
        self.accepted("tools/cli/model_pull.cc", line)

    def test_a_header_without_a_first_comment_or_guard_is_refused(self):
        self.refused("headers", "core/a.h", "#pragma once\n")
        self.refused("headers", "core/a.h", "// What it is for.\n")

    def test_unformatted_code_is_refused(self):
        self.refused("formatting", "core/a.cc", "int  a;\n")


class LayersTest(unittest.TestCase):
    def refused(self, path, include, because):
        head = HEADER if path.endswith(".h") else ""
        status, output = run("layers.py", {path: head + f"#include {include}\n"})
        self.assertEqual(status, 1, output)
        self.assertIn(because, output)

    def test_core_knows_no_other_folder(self):
        self.refused("core/a.cc", '"embed/b.h"', "core/ must not include")

    def test_embed_index_and_storage_do_not_know_one_another(self):
        self.refused("embed/a.cc", '"index/b.h"', "embed/ must not include")
        self.refused("index/a.h", '"storage/b.h"', "index/ must not include")
        self.refused("storage/a.cc", '"embed/b.h"', "storage/ must not include")

    def test_query_does_not_know_the_tools(self):
        self.refused("query/a.cc", '"tools/cli/b.h"', "query/ must not include")

    def test_includes_are_written_from_the_root(self):
        self.refused("core/a.cc", '"b.h"', "not written from the root")

    def test_public_headers_need_the_standard_library_only(self):
        self.refused("core/include/nestor/a.h", "<fmt/format.h>", "a public header includes")
        self.refused("core/include/nestor/a.h", '"core/file.h"', "a public header includes")

    def test_a_source_includes_its_own_header_first(self):
        files = {"core/a.h": HEADER, "core/a.cc": '#include <vector>\n\n#include "core/a.h"\n'}
        status, output = run("layers.py", files)
        self.assertEqual(status, 1)
        self.assertIn("the first include must be its own header", output)

    def test_the_right_order_passes(self):
        text = '#include <vector>\n#include "nestor/status.h"\n#include "core/a.h"\n#include "storage/b.h"\n'
        status, output = run("layers.py", {"query/c.cc": text, "tests/query/c_test.cc": text})
        self.assertEqual(status, 0, output)


class LintTest(unittest.TestCase):
    """What clang-tidy has to see: lint.py over a tree whose every source was clean."""

    FILES = {
        ".clang-tidy": "Checks: -*\n",
        "core/include/nestor/value.h": HEADER,
        "core/far.h": HEADER + '#include "nestor/value.h"\n',
        "core/near.h": HEADER + '#include "core/far.h"\n',
        "core/near.cc": '#include "core/near.h"\n',
        "query/public.cc": "#include <nestor/value.h>\n",
        "query/alone.cc": "#include <vector>\n",
    }
    ALL = ["core/near.cc", "query/alone.cc", "query/public.cc"]

    def listed(self, changes, record=True, options=()):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            lint = [sys.executable, "-B", str(TOOLS / "lint.py"), "--root", folder]
            for path in FOLDERS:
                (root / path).mkdir()
            for path, text in self.FILES.items():
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_text(text)
            if record:
                subprocess.run([*lint, "--record"], check=True)
            for path, text in changes.items():
                (root / path).write_text(text)
            return subprocess.run([*lint, *options], capture_output=True, text=True, check=True).stdout.splitlines()

    def test_after_a_clean_run_only_changed_sources_are_listed(self):
        self.assertEqual(self.listed({}), [])
        self.assertEqual(self.listed({"query/alone.cc": "int a;\n"}), ["query/alone.cc"])
        self.assertEqual(self.listed({"query/new.cc": "int a;\n"}), ["query/new.cc"])

    def test_a_changed_header_lists_all_that_include_it_through_whatever(self):
        self.assertEqual(self.listed({"core/near.h": HEADER}), ["core/near.cc"])
        self.assertEqual(self.listed({"core/include/nestor/value.h": HEADER + "// New.\n"}), ["core/near.cc", "query/public.cc"])

    def test_without_a_record_or_with_other_rules_everything_is_listed(self):
        self.assertEqual(self.listed({}, record=False), self.ALL)
        self.assertEqual(self.listed({".clang-tidy": "Checks: '*'\n"}), self.ALL)
        self.assertEqual(self.listed({}, options=["--all"]), self.ALL)


if __name__ == "__main__":
    unittest.main()
