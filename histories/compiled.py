"""Compiled functions whose machine code is kept on disk, keyed by the sources it was made from.

numba's own cache looks at one file: an edit of a piece in another file would silently run yesterday's code.
Here the key is a digest of the file and of every project file that it imports, so an edit anywhere is seen,
and a copy of the tree (a built Bento, a wheel) finds the code that is already there.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from functools import cache, cached_property, wraps
from pathlib import Path
from threading import Lock
from typing import Any

import numba as nb
from numba.core import caching

_IMPORT = re.compile(r"^from +([\w.]+) +import +(\([^)]*\)|.*)|^import +([\w.]+)", re.MULTILINE)

# For functions that compiled functions call: they become part of their callers and need no cache of their own. Without
# a door for Python, which is a fourth of the time that they take to compile; if Python calls them, the process crashes.
_UNCALLED: Any = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
piece: Any = nb.njit(nogil=True, error_model="numpy", **_UNCALLED)
# The same without reference counts, which cost more than the arithmetic of short loops: it cannot make arrays,
# only use those that it is given.
lean: Any = nb.njit(nogil=True, error_model="numpy", forceinline=True, **_UNCALLED, **{"_nrt": False})  # type: ignore[call-overload]


def compiled(
    function: Callable[..., Any] | None = None, *, signature: Callable[[], Any] | None = None
) -> Callable[..., Any]:
    """Decorator: compile on the first call, or load what an earlier process compiled.

    For functions that Python calls. Nothing is compiled, read or written on import. With a `signature` (a function
    that gives numba's types) there is one version for good: other types raise TypeError, none compiles in mid-flight.
    """
    if function is None:
        return lambda inner: compiled(inner, signature=signature)
    dispatcher: Any = nb.njit(nogil=True, error_model="numpy")(function)
    dispatcher._cache = _Kept(function)
    return dispatcher if signature is None else _only(dispatcher, signature)


def _only(dispatcher: Any, signature: Callable[[], Any]) -> Callable[..., Any]:
    first = Lock()  # several threads may come at once

    @cache
    def machine_code() -> Callable[..., Any]:
        with first:
            if not dispatcher.signatures:
                dispatcher.compile(signature())
                dispatcher.disable_compile()
        return dispatcher

    @wraps(dispatcher.py_func)
    def call(*arguments: Any) -> Any:
        return machine_code()(*arguments)

    return call


def plain(value: tuple[Any, ...]) -> tuple[Any, ...]:
    """A named tuple, and those within it, as plain ones.

    numba asks Python for the class of every named tuple that it is given, which takes longer than the arrays in it.
    """
    return tuple(plain(part) if isinstance(part, tuple) else part for part in value)


def sources(file: Path, root: Path) -> list[Path]:
    """The file and every file under `root` that it imports, directly or not, in order of their paths."""
    found: set[Path] = set()
    waiting = [file.resolve()]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += _imported(path, root.resolve())
    return sorted(found)


def _imported(file: Path, root: Path) -> Iterator[Path]:
    for package, names, module in _IMPORT.findall(file.read_text(encoding="utf-8")):
        parts = [module] if module else [package, *(f"{package}.{name}" for name in re.findall(r"\w+", names))]
        for part in parts:
            path = root.joinpath(*part.split(".")).with_suffix(".py")
            if path.is_file():
                yield path


@cache
def digest(file: Path) -> str:
    """Of the sources of a file and of all that it imports from this project."""
    root = _root_of(file)
    made = hashlib.sha256()
    for path in sources(file, root):
        made.update(f"{path.relative_to(root)}\n".encode())
        made.update(path.read_bytes())
    return made.hexdigest()[:24]


def _root_of(file: Path) -> Path:
    """The folder from which the file's package is imported."""
    folder = file.parent
    while (folder / "__init__.py").is_file():
        folder = folder.parent
    return folder


@cache
def _cache_root() -> Path:
    """$REGULARS_CACHE, else the user's cache folder, else a folder of this user's among the temporary files."""
    if named := os.environ.get("REGULARS_CACHE"):
        return Path(named)
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "regulars"
    return home if _writable(home) else Path(tempfile.gettempdir()) / f"regulars-numba-{os.getuid()}"


def _folder(function: Callable[..., Any]) -> Path:
    return _cache_root() / digest(Path(function.__code__.co_filename).resolve())


def _writable(folder: Path) -> bool:
    """Whether the folder is there, ours alone to write (its files are executed), and takes a file."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        tempfile.TemporaryFile(dir=folder).close()
        return folder.stat().st_uid == os.getuid()
    except OSError:
        return False


class _Locator(caching.UserProvidedCacheLocator):
    def __init__(self, function: Callable[..., Any], file: str) -> None:
        super().__init__(function, file)
        self._cache_path = str(_folder(function))

    @classmethod
    def from_function(cls, function: Callable[..., Any], file: str) -> _Locator:
        return cls(function, file)


class _Files(caching.CompileResultCacheImpl):
    _locator_classes: list[type[object]] = [_Locator]  # noqa: RUF012


class _Cache(caching.FunctionCache):
    """numba's cache on disk, except that a full disk or a damaged file costs a compilation, never the call."""

    _impl_class = _Files

    def load_overload(self, signature: Any, context: Any) -> Any:
        try:
            return super().load_overload(signature, context)
        except (OSError, EOFError, ValueError, caching.pickle.UnpicklingError):
            return None

    def save_overload(self, signature: Any, data: Any) -> None:
        try:
            super().save_overload(signature, data)
        except OSError:
            return


class _Kept(caching.NullCache):
    """The cache on disk of one function, looked for when it is first needed; none where nothing can be written."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    @cached_property
    def _kept(self) -> Any:
        return _Cache(self._function) if _writable(_folder(self._function)) else caching.NullCache()

    def load_overload(self, signature: Any, context: Any) -> Any:
        return self._kept.load_overload(signature, context)

    def save_overload(self, signature: Any, data: Any) -> None:
        self._kept.save_overload(signature, data)
