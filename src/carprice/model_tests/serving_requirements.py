"""What the service needs of all that carprice requires: declared here, once.

``python -m carprice.model_tests.serving_requirements`` prints the requirements for pip, each with
the versions that pyproject.toml allows, so that ``pip install --no-deps carprice`` and these make a
service.
MLflow is not among them: an MLflow server is asked by plain HTTP.
"""

import importlib.metadata
import re
import sys
from collections.abc import Iterable
from typing import Final

SERVING: Final = (
    "fastapi",
    "fastapi-offline",
    "httptools",
    "jiter",
    "numpy",
    "onnxruntime",
    "prometheus-client",
    "pydantic",
    "rapidfuzz",
    "uvicorn",
    "uvloop",
)
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def canonical(name: str) -> str:
    """Return a distribution's name as all its spellings have it.

    Examples
    --------
    >>> canonical("Prometheus_Client")
    'prometheus-client'
    """
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements() -> list[str]:
    """Return the requirements of serving as carprice's own metadata states them."""
    return [one for one in importlib.metadata.requires("carprice") or () if _serves(one)]


def installed(names: Iterable[str] = SERVING) -> tuple[str, ...]:
    """Return the installed distributions that these ones need, they themselves included.

    A distribution that is not installed here, as one of another platform, is left out.
    """
    from packaging.requirements import Requirement

    seen: dict[str, frozenset[str]] = {}
    waiting = [(canonical(name), frozenset[str]()) for name in names]
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
            (canonical(one.name), frozenset(one.extras))
            for one in map(Requirement, required)
            if one.marker is None or any(one.marker.evaluate({"extra": e}) for e in ("", *extras))
        ]
    return tuple(sorted(seen))


def _serves(requirement: str) -> bool:
    name = _NAME.match(requirement)
    return name is not None and "extra ==" not in requirement and canonical(name[0]) in SERVING


if __name__ == "__main__":
    sys.stdout.write("".join(f"{one}\n" for one in requirements()))
