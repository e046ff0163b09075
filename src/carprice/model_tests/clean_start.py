"""``python -m carprice.model_tests.clean_start NAME… -- ARGUMENTS``: the service, isolated.

Only carprice itself and the distributions of the given names can be imported, or asked for their
versions; any other fails as if it were not installed. The arguments after ``--`` are those of
``python -m api``. The service ends when its standard input is closed, as it is when the process
that started it is killed.
"""

import importlib.metadata
import os
import re
import runpy
import sys
import threading
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Final

_OURS: Final = ("carprice", "api")


class OnlyTheseFinder(MetaPathFinder):
    """Refuses every module that is neither Python's, nor ours, nor of an allowed distribution."""

    def __init__(self, names: Sequence[str]) -> None:
        self._files = {
            _normal(str(distribution.locate_file(file)))
            for distribution in map(importlib.metadata.distribution, names)
            for file in distribution.files or ()
        }

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Leave an allowed module to the finders after this one; refuse any other."""
        root = fullname.partition(".")[0]
        if root in sys.stdlib_module_names or root in _OURS or root.startswith("_sysconfigdata"):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or (spec.origin and _normal(spec.origin) not in self._files):
            raise ModuleNotFoundError(
                f"No module named {fullname!r}: serving does not require it", name=fullname
            )
        return None


def hide_others(names: Sequence[str]) -> None:
    """Let :mod:`importlib.metadata` find only the distributions of these names, and carprice."""
    known = {_canonical(name) for name in (*names, "carprice")}
    find = importlib.metadata.Distribution.from_name

    def from_name(name: str) -> importlib.metadata.Distribution:
        if _canonical(name) not in known:
            raise importlib.metadata.PackageNotFoundError(name)
        return find(name)

    setattr(importlib.metadata.Distribution, "from_name", from_name)  # noqa: B010


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _normal(path: str) -> str:
    return os.path.normcase(os.path.abspath(path))  # noqa: PTH100 - Path.resolve is slow, and follows links


def _end_with_the_parent() -> None:
    while os.read(0, 1):
        pass
    os._exit(1)


def main() -> None:
    """Forbid all other imports, then run the service."""
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    end = sys.argv.index("--")
    names, arguments = sys.argv[1:end], sys.argv[end + 1 :]
    sys.meta_path.insert(0, OnlyTheseFinder(names))
    hide_others(names)
    sys.argv = ["python -m api", *arguments]
    runpy.run_module("api", run_name="__main__")


if __name__ == "__main__":
    main()
