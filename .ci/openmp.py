"""Give LightGBM an OpenMP runtime where the machine has none: python .ci/openmp.py, run by make after installing.

LightGBM's Linux wheel wants the system's libgomp.so.1, which a bare Debian lacks. scikit-learn's wheel brings the
same library under another name; this copies it under the wanted one and has Python load it at start.
"""

from __future__ import annotations

import ctypes
import sys
import sysconfig
from pathlib import Path

WANTED = "libgomp.so.1"


def missing() -> bool:
    if not sys.platform.startswith("linux"):
        return False
    try:
        ctypes.CDLL(WANTED)
    except OSError:
        return True
    return False


def provide(packages: Path) -> None:
    """Copy scikit-learn's library with its own name inside (SONAME) replaced: that is what the loader matches."""
    found = sorted((packages / "scikit_learn.libs").glob("libgomp-*.so*"))
    if not found:
        raise SystemExit("LightGBM needs libgomp.so.1; on Debian or Ubuntu: apt-get install libgomp1")
    name = found[0].name.encode()
    copy = packages / WANTED
    copy.write_bytes(found[0].read_bytes().replace(name + b"\0", WANTED.encode().ljust(len(name) + 1, b"\0")))
    start = f"import ctypes, os; p = {str(copy)!r}; os.path.exists(p) and ctypes.CDLL(p, mode=ctypes.RTLD_GLOBAL)\n"
    (packages / "openmp.pth").write_text(start)


if __name__ == "__main__":
    if missing():
        provide(Path(sysconfig.get_paths()["platlib"]))
