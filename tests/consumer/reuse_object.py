"""A compiler launcher that takes an object from a build folder where that holds one of the same command and text.

usage: reuse_object.py BUILD_FOLDER COMPILER ARGUMENTS...

For builds that prove which commands Nestor is built with, not what the compiler makes of them again. `-Werror`, which
only Nestor's own build has, and the optimization level do not count as a difference, except for code of one instruction
set: an intrinsic may compile at -O3 and fail at -O0, so those files are compiled. All else runs the compiler. Appends
"reused OBJECT" or "compiled OBJECT" to `objects.log` of the current folder.
"""

import json
import os
import re
import shutil
import shlex
import sys
from pathlib import Path

IGNORED = re.compile(r"-Werror|-O[0-3]|-g[0-3]?|-DNDEBUG")
KERNELS = re.compile(r"/(backend|scan|vector_math|cpu_features)\w*\.cc")


def value_after(words, flag):
    return words[words.index(flag) + 1] if flag in words[:-1] else None


def optimization(words):
    """The level in force: the last one counts."""
    return ([None] + [word for word in words if re.fullmatch(r"-O\w*", word)])[-1]


def meaning(words):
    """The words of a command that decide what is compiled, without those that name its files."""
    kept, skip = [], False
    for word in words:
        if skip or word in ("-o", "-c", "-MT", "-MF", "-MD"):
            skip = word in ("-o", "-c", "-MT", "-MF")
        elif not IGNORED.fullmatch(word):
            kept.append(word)
    return kept


def without_launcher(words, compiler):
    """The words of a recorded command from the compiler on."""
    return words[words.index(compiler) :] if compiler in words else words


def twin(build, words):
    """The object in `build` that stands for the one that `words` ask for, or None."""
    object_name, source = value_after(words, "-o"), value_after(words, "-c")
    if object_name is None or source is None:
        return None
    # Inside another project Nestor has a folder of its own.
    name = object_name.removeprefix("nestor/")
    for entry in json.loads((build / "compile_commands.json").read_text()):
        recorded = without_launcher(shlex.split(entry["command"]), words[0])
        if value_after(recorded, "-o") != name:
            continue
        text = Path(source).read_bytes()
        same = meaning(recorded) == meaning(words) and Path(entry["file"]).read_bytes() == text
        compiles_alike = optimization(recorded) == optimization(words)
        if KERNELS.search(source) or KERNELS.search(text.decode(errors="replace")):
            same = same and compiles_alike
        return build / name if same and (build / name).is_file() else None
    return None


def main():
    build, words = Path(sys.argv[1]), sys.argv[2:]
    found = twin(build, words)
    object_name = value_after(words, "-o")
    with open("objects.log", "a") as log:
        log.write(f"{'reused' if found else 'compiled'} {object_name}\n")
    if found is None:
        command = ["ccache", *words] if shutil.which("ccache") else words
        os.execvp(command[0], command)
    shutil.copyfile(found, object_name)
    depfile = value_after(words, "-MF")
    if depfile is not None:
        Path(depfile).write_text(f"{value_after(words, '-MT') or object_name}:\n")


if __name__ == "__main__":
    main()
