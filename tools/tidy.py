"""The rules of the house that a script can see. Prints each breach and exits 1 when there is one.

usage: tidy.py [--root FOLDER] [--no-format]

Every rule is a function that takes a Tree and yields sentences; tests/tools/tidy_test.py shows each one a tree it must
refuse. The order of the folders is in layers.py, which runs with it.
"""

import argparse
import ast
import re
import subprocess
import sys
from pathlib import Path

import layers

FOLDERS = ["core", "embed", "index", "storage", "query", "tools", "tests", "benchmarks"]
LIBRARY = FOLDERS[:5]
ROOT_FILES = set(
    "CMakeLists.txt README.md CMakePresets.json .clang-format .clang-tidy ARCHITECTURE.md DECISIONS.md "
    "CHANGELOG.md CONTRIBUTING.md LICENSE NOTICE .gitignore .ci".split()
)
# Data, not prose or code: only its place is looked at.
DATA_FOLDERS = ("tests/fixtures/", "tests/compat/", "tests/golden/")
# The checker and its test have to name what they forbid.
CHECKERS = ("tools/tidy.py", "tests/tools/tidy_test.py")
REPEATED_NAMES = {"CMakeLists.txt", "README.md"}

FILE_LINES = 500
FUNCTION_LINES = 70
README_LINES = 40

PRINTING = re.compile(r"std::(cout|cerr|clog)\b|\b(std::)?v?f?printf\s*\(|\b(std::)?f?puts\s*\(|\bfmt::print\b")
# The two places that end the program and say why.
PRINTING_ALLOWED = ("core/check.h", "core/status.cc")
MACHINE_FLAG = re.compile(r"(?<![\w-])-m(arch|tune|cpu|avx|amx|fma|sse|bmi|f16c|popcnt)[\w.=+-]*")
MACHINE_FLAG_ALLOWED = ("embed/CMakeLists.txt", "index/CMakeLists.txt")
INTRINSICS = re.compile(
    r"\b(\w*intrin|arm_neon|arm_sve)\.h\b|\b_mm\d*_\w+|\b__m(128|256|512)\w*|\b_tile_\w+|\bv(ld|st)1q?_\w+"
    r"|__attribute__\s*\(\(\s*target|\[\[gnu::target"
)
INTRINSICS_ALLOWED = re.compile(r"^(embed/backend_\w+\.(cc|h)|index/scan_\w+\.(cc|h)|core/vector_math\w*\.cc|core/cpu_features\.cc)$")
# A tree of the library's allocates in its destructor, which ends the process where no memory is left.
JSON_LIBRARY = re.compile(r"nlohmann/\w+\.hpp")
JSON_LIBRARY_ALLOWED = ("core/json.cc", "core/json_writer.cc")
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX)\b")
MACHINE_PATH = re.compile(r"(?<![\w.$}~])/(root|work|home)/")
REGISTRIES = re.compile(
    r"\b(pypi\.org|files\.pythonhosted\.org|(deb|security|snapshot|ftp)\.debian\.org|crates\.io|registry\.npmjs\.org"
    r"|proxy\.golang\.org|repo\.maven\.apache\.org|conda\.anaconda\.org)\b"
)
MODEL_HOST = "huggingface.co"
MODEL_HOST_ALLOWED = re.compile(r"^(tools/cli/model\w*\.(cc|h)|tests/tools/model\w*|README\.md|NOTICE|DECISIONS\.md)$")


class Tree:
    """The files of a checkout: what git tracks or would track; without git, everything but build/."""

    def __init__(self, root):
        self.root = root
        listed = subprocess.run(
            ["git", "-C", str(root), "ls-files", "-z", "-co", "--exclude-standard"], capture_output=True, text=True
        )
        if listed.returncode == 0 and (root / ".git").exists():
            names = set(listed.stdout.split("\0")) - {""}
        else:
            names = {p.relative_to(root).as_posix() for p in root.rglob("*")}
        self.paths = sorted(
            n for n in names if (root / n).is_file() and not n.startswith(("build/", ".git/")) and "__pycache__" not in n
        )
        self._texts = {}

    def text(self, path):
        """The file's text, or None where it is not UTF-8 text."""
        if path not in self._texts:
            data = (self.root / path).read_bytes()
            try:
                self._texts[path] = None if b"\0" in data else data.decode("utf-8")
            except UnicodeDecodeError:
                self._texts[path] = None
        return self._texts[path]

    def texts(self):
        """Everything written by hand, as (path, text)."""
        for path in self.paths:
            if not path.startswith(DATA_FOLDERS) and path not in CHECKERS and self.text(path) is not None:
                yield path, self.text(path)

    def sources(self):
        return ((p, t) for p, t in self.texts() if p.endswith((".h", ".cc")))


TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|R"([^()\\ ]*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'', re.DOTALL)


def code_only(text):
    """C++ with comments and literals blanked out, each line where it was."""

    def blank(match):
        kept = "" if match.group().startswith("/") else '""'
        return kept + "\n" * match.group().count("\n")

    # Digit separators would read as the start of a character literal.
    return TOKEN.sub(blank, re.sub(r"(?<=\d)'(?=\d)", "", text))


def breaches(text, pattern):
    for match in pattern.finditer(text):
        yield text.count("\n", 0, match.start()) + 1, match.group().strip()


def top_level(tree):
    for name in sorted({p.split("/")[0] for p in tree.paths}):
        if name not in FOLDERS and name not in ROOT_FILES:
            yield f"{name}: not one of the names allowed at the top level"


def unique_names(tree):
    seen = {}
    for path in tree.paths:
        name = path.split("/")[-1]
        if name in REPEATED_NAMES or path.startswith(DATA_FOLDERS) or path.split("/")[0] not in FOLDERS:
            continue
        if name in seen:
            yield f"{path}: the name is taken by {seen[name]}; names are unique in the tree"
        seen.setdefault(name, path)


def file_length(tree):
    for path, text in tree.texts():
        count = text.count("\n")
        if count > FILE_LINES and path.split("/")[0] in FOLDERS and not path.endswith((".md", ".jsonl")):
            yield f"{path}: {count} lines, at most {FILE_LINES}; split it by ideas"


NOT_A_FUNCTION = re.compile(r"^(namespace|class|struct|union|enum|extern|export)\b|^template\s*<[^()]*>\s*(class|struct|union)\b")


def cpp_functions(text):
    """(first line, lines) of every function body and of its head, by counting braces."""
    stack, statement, statement_line, line = [], "", 1, 1
    for symbol in re.sub(r"^\s*#(?:[^\n]*\\\n)*[^\n]*", lambda m: "\n" * m.group().count("\n"), code_only(text), flags=re.M):
        if symbol == "\n":
            line += 1
        if symbol in "{};":
            if symbol == "{":
                head = statement.strip()
                outside = all(kind == "scope" for kind, _ in stack)
                if NOT_A_FUNCTION.match(head) and not head.endswith("="):
                    stack.append(("scope", 0))
                else:
                    stack.append(("function" if outside and "(" in head and not head.endswith("=") else "other", statement_line))
            elif symbol == "}" and stack:
                kind, first = stack.pop()
                if kind == "function":
                    yield first, line - first + 1
            statement = ""
        else:
            if not statement.strip():
                statement_line = line
            statement += symbol


def function_length(tree):
    for path, text in tree.texts():
        if path.endswith((".h", ".cc")):
            found = cpp_functions(text)
        elif path.endswith(".py"):
            nodes = ast.walk(ast.parse(text, path))
            found = ((n.lineno, n.end_lineno - n.lineno + 1) for n in nodes if isinstance(n, ast.FunctionDef))
        else:
            continue
        for first, count in found:
            if count > FUNCTION_LINES:
                yield f"{path}:{first}: a function of {count} lines, at most {FUNCTION_LINES}"


def printing(tree):
    for path, text in tree.sources():
        if path.split("/")[0] in LIBRARY and path not in PRINTING_ALLOWED:
            for line, found in breaches(code_only(text), PRINTING):
                yield f"{path}:{line}: {found} in the library; return a Status or use core/log.h"


def machine_flags(tree):
    for path, text in tree.texts():
        if not path.endswith(".md") and path.split("/")[-1] != "results.jsonl" and path not in MACHINE_FLAG_ALLOWED:
            for line, found in breaches(text, MACHINE_FLAG):
                yield f"{path}:{line}: {found}; only the kernels listed in {' and '.join(MACHINE_FLAG_ALLOWED)} are made for one processor"


def intrinsics(tree):
    for path, text in tree.sources():
        if path.split("/")[0] in LIBRARY and not INTRINSICS_ALLOWED.match(path):
            for line, found in breaches(code_only(text), INTRINSICS):
                yield f"{path}:{line}: {found}; only embed/backend_*.cc, index/scan_*.cc and core/vector_math*.cc know processors"


def json_library(tree):
    for path, text in tree.sources():
        if path.split("/")[0] in LIBRARY and path not in JSON_LIBRARY_ALLOWED:
            for line, found in breaches(text, JSON_LIBRARY):
                yield f"{path}:{line}: {found}; use core/json.h, core/json_value.h and core/json_writer.h"


def readmes(tree):
    for folder in FOLDERS:
        path = f"{folder}/README.md"
        if path not in tree.paths:
            yield f"{path}: missing; each folder says what it is for and where to start reading"
        elif (count := tree.text(path).count("\n")) > README_LINES:
            yield f"{path}: {count} lines, at most {README_LINES}"


def unfinished(tree):
    for path, text in tree.texts():
        for line, found in breaches(text, UNFINISHED):
            yield f"{path}:{line}: {found}; open work is an issue"


def machine_paths(tree):
    for path, text in tree.texts():
        for line, found in breaches(text, MACHINE_PATH):
            yield f"{path}:{line}: {found} is a path of one machine"


def hosts(tree):
    for path, text in tree.texts():
        for line, found in breaches(text, REGISTRIES):
            yield f"{path}:{line}: {found}; packages come through apt and pip as the machine has them set up"
        if not MODEL_HOST_ALLOWED.match(path):
            for line, found in breaches(text, re.compile(re.escape(MODEL_HOST))):
                yield f"{path}:{line}: {found}; only the model command fetches"


def headers(tree):
    for path, text in tree.sources():
        if path.endswith(".h"):
            if not text.startswith("//"):
                yield f"{path}: a header begins with a comment: what it is for, which threads may call it"
            if "\n#pragma once\n" not in text:
                yield f"{path}: #pragma once is missing"


def layer_order(tree):
    yield from layers.check(tree.root, tree.paths)


def formatting(tree):
    files = [p for p, _ in tree.sources()]
    if files:
        ran = subprocess.run(
            ["clang-format", "--dry-run", "-Werror", *files], cwd=tree.root, capture_output=True, text=True
        )
        for path in sorted(set(re.findall(r"^([^:\s]+):\d+:", ran.stderr, re.MULTILINE))):
            yield f"{path}: not formatted; run clang-format -i"


RULES = [top_level, unique_names, file_length, function_length, printing, machine_flags, intrinsics, json_library, readmes]
RULES += [unfinished, machine_paths, hosts, headers, layer_order, formatting]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parent.parent)
    parser.add_argument("--no-format", action="store_true", help="leave clang-format out")
    options = parser.parse_args()
    tree = Tree(options.root.resolve())
    rules = [r for r in RULES if not (options.no_format and r is formatting)]
    problems = [f"{problem}  [{rule.__name__}]" for rule in rules for problem in rule(tree)]
    print("\n".join(problems) if problems else f"{len(rules)} rules held by {len(tree.paths)} files")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
