"""The objects of the vector kernels share no function with the program.

A weak symbol (an inline function, a template, a vague vtable) made in a file that is compiled for one
instruction set could be the copy that the linker keeps for everyone, and would end the program on an
older processor. So these objects may define no weak, unique or common symbol. One is let through:
DW.ref.__gxx_personality_v0 is a pointer that exception tables refer to, eight bytes of data that are the
same whatever the instruction set. Usage: kernel_objects.py OBJECT...
"""

import pathlib
import subprocess
import sys

KERNELS = ("backend_amx", "backend_avx512", "backend_avx2", "backend_avx2_vnni", "scan_amx", "scan_avx512", "scan_avx2")
DATA_OF_EXCEPTIONS = "DW.ref.__gxx_personality_v0"
SHARED_KINDS = set("WwVvuCc")


def definitions(path):
    """(kind, name) of each symbol that the object defines; kinds are those of nm(1)."""
    listing = subprocess.run(["nm", "--defined-only", "--format=posix", path], check=True, capture_output=True, text=True)
    return [(line.split()[1], line.split()[0]) for line in listing.stdout.splitlines()]


def main(paths):
    kernels = {pathlib.Path(path).name.split(".")[0]: path for path in paths}
    wrong = []
    for name in KERNELS:
        if name not in kernels:
            wrong.append(f"{name}: no such object among the {len(paths)} that were given")
            continue
        defined = definitions(kernels[name])
        if not any("_tables" in symbol or "_scan_kernels" in symbol for kind, symbol in defined if kind == "T"):
            wrong.append(f"{name}: it defines no table, so this is not the object it should be")
        shared = [symbol for kind, symbol in defined if kind in SHARED_KINDS and symbol != DATA_OF_EXCEPTIONS]
        wrong += [f"{name}: {symbol} can stand in for the same one elsewhere" for symbol in shared]
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
