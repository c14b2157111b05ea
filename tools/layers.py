"""Who may include whom: core <- embed, index, storage <- query <- tools; tests and benchmarks include all.

usage: layers.py [--root FOLDER]

Also held here: private includes are written from the root, a source includes its own header first, and
the public headers need nothing but the standard library and each other.
"""

import argparse
import re
import sys
from pathlib import Path

ALLOWED = {
    "core": {"core"},
    "embed": {"core", "embed"},
    "index": {"core", "index"},
    "storage": {"core", "storage"},
    "query": {"core", "embed", "index", "storage", "query"},
    "tools": {"core", "embed", "index", "storage", "query", "tools"},
}
PUBLIC = "core/include/"
# An outside project of the tests: it sees what a stranger sees.
CONSUMER = "tests/consumer/"
INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]', re.MULTILINE)
STANDARD_HEADER = re.compile(r"^[a-z_0-9]+$")


def included_folder(target):
    """The folder a quoted include leads to; None where it is not written from the root."""
    if target.startswith("nestor/"):
        return "core"
    return target.split("/")[0] if "/" in target else None


def check_own_header(root, path, includes):
    own = path[: -len(".cc")] + ".h"
    public = "nestor/" + Path(own).name
    if (root / own).is_file():
        expected = own
    elif (root / PUBLIC / public).is_file() and path.split("/")[0] in ALLOWED:
        expected = public
    else:
        return
    if not includes or includes[0][1] != expected:
        yield f'{path}: the first include must be its own header "{expected}"'


def check_file(root, path):
    """The problems of one source, as sentences. `path` is relative to the root."""
    text = (root / path).read_text(encoding="utf-8")
    includes = INCLUDE.findall(text)
    folder = path.split("/")[0]
    for bracket, target in includes:
        if path.startswith(PUBLIC):
            if not (target.startswith("nestor/") or STANDARD_HEADER.match(target)):
                yield f"{path}: a public header includes {target}; only the standard library and nestor/ are allowed"
        elif bracket == '"':
            found = included_folder(target)
            if found is None:
                yield f'{path}: "{target}" is not written from the root, as in "index/coarse_index.h"'
            elif folder in ALLOWED and found not in ALLOWED[folder]:
                allowed = ", ".join(sorted(ALLOWED[folder]))
                yield f'{path}: {folder}/ must not include "{target}"; it may look into {allowed}'
    if path.endswith(".cc"):
        yield from check_own_header(root, path, includes)


def check(root, paths):
    for path in paths:
        if path.endswith((".h", ".cc")) and not path.startswith(CONSUMER):
            yield from check_file(root, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parent.parent)
    root = parser.parse_args().root
    paths = sorted(
        p.relative_to(root).as_posix()
        for folder in [*ALLOWED, "tests", "benchmarks"]
        for p in (root / folder).rglob("*")
        if p.is_file()
    )
    problems = list(check(root, paths))
    print("\n".join(problems) if problems else "layers: in order")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
