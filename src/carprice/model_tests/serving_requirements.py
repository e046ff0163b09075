"""The dependencies of carprice that the service needs: declared here, once.

``python -m carprice.model_tests.serving_requirements`` prints the requirements for pip, each with
the versions that pyproject.toml allows, so that ``pip install --no-deps carprice`` and these make a
service. Names on its command line are taken in place of these: ``pyarrow`` and ``sqlalchemy`` are
what a service that keeps a prediction log, or outcomes, needs beside them.
MLflow is not among them: an MLflow server is asked by plain HTTP.
"""

import importlib.metadata
import sys
from collections.abc import Collection, Iterable
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

SERVING: Final = (
    "fastapi",
    "fastapi-offline",
    "httptools",
    "jinja2",
    "jiter",
    "numpy",
    "onnxruntime",
    "prometheus-client",
    "pydantic",
    "rapidfuzz",
    "uvicorn",
    "uvloop",
)


def requirements(names: Collection[str] = SERVING) -> list[str]:
    """Return the requirements of serving, or such others, as in carprice's metadata."""
    every = importlib.metadata.requires("carprice") or ()
    always = [one for one in every if "extra ==" not in one]
    return [one for one in always if canonicalize_name(Requirement(one).name) in names]


def installed(names: Iterable[str] = SERVING) -> tuple[str, ...]:
    """Return the installed distributions that these ones need, they themselves included.

    A distribution that is not installed, such as one of another platform, is left out.
    """
    seen: dict[str, frozenset[str]] = {}
    waiting = [(canonicalize_name(name), frozenset[str]()) for name in names]
    while waiting:
        name, extras = waiting.pop()
        if name in seen and extras <= seen[name]:
            continue
        try:
            required = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        seen[name] = extras = seen.get(name, frozenset()) | extras
        waiting += [
            (canonicalize_name(one.name), frozenset(one.extras))
            for one in map(Requirement, required)
            if one.marker is None or any(one.marker.evaluate({"extra": e}) for e in ("", *extras))
        ]
    return tuple(sorted(seen))


if __name__ == "__main__":
    sys.stdout.write("".join(f"{one}\n" for one in requirements(sys.argv[1:] or SERVING)))
