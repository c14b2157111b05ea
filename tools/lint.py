"""Which sources clang-tidy has to see: those that changed since the last clean run over all of them.

usage: lint.py [--root FOLDER] [--all | --record]   prints paths, one per line; --record writes tools/linted.txt instead

tools/linted.txt holds a digest per source of the library and the tools, taken over .clang-tidy, the source and every
file of the tree that it includes, directly or through others. A source whose digest is not there, as all are where the
file is missing, has changed. Contents count, not commits: a shallow clone and an unpacked archive have the same answer.
"""

import argparse
import hashlib
from pathlib import Path

import layers

FOLDERS = ["core", "embed", "index", "storage", "query", "tools"]
RECORD = "tools/linted.txt"


class Sources:
    def __init__(self, root):
        self.root = root
        self._included = {}

    def all(self):
        return sorted(p.relative_to(self.root).as_posix() for f in FOLDERS for p in (self.root / f).rglob("*.cc"))

    def included(self, path):
        """The files of the tree that `path` includes itself."""
        if path not in self._included:
            text = (self.root / path).read_text(encoding="utf-8")
            places = [(target, layers.PUBLIC + target) for _, target in layers.INCLUDE.findall(text)]
            self._included[path] = [p for both in places for p in both if (self.root / p).is_file()]
        return self._included[path]

    def digest(self, path):
        seen, waiting = {path}, [path]
        while waiting:
            new = set(self.included(waiting.pop())) - seen
            seen |= new
            waiting += new
        total = hashlib.sha256()
        for name in [".clang-tidy", *sorted(seen)]:
            total.update(name.encode() + b"\0" + hashlib.sha256((self.root / name).read_bytes()).digest())
        return total.hexdigest()[:16]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parent.parent)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--all", action="store_true", help="all sources, changed or not")
    which.add_argument("--record", action="store_true", help="all sources are clean as they are now")
    options = parser.parse_args()
    sources = Sources(options.root)
    lines = {path: f"{sources.digest(path)} {path}" for path in sources.all()}
    record = options.root / RECORD
    if options.record:
        record.write_text("".join(f"{line}\n" for line in lines.values()), encoding="utf-8")
        return
    clean = set(record.read_text(encoding="utf-8").splitlines()) if record.is_file() else set()
    for path, line in lines.items():
        if options.all or line not in clean:
            print(path)


if __name__ == "__main__":
    main()
