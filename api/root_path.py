"""The path below which others see the service: a reverse proxy's prefix, which it may strip or not.

ASGI's ``scope["root_path"]`` holds it, and ``scope["path"]`` begins with it; the routes do not.
"""

from typing import Final

from starlette.types import Scope

OWN_PATHS: Final = frozenset(
    (
        *("app", "appraise", "docs", "explain", "health", "invocations", "live", "metrics"),
        *("model", "model-card", "openapi.json", "outcomes", "ping", "predict", "ready", "redoc"),
        *("static-offline-docs", "v2", "version", "vocabulary"),
    )
)
"""First parts of the service's own paths: below such a prefix a path could mean two things."""


def route_path(scope: Scope, root_path: str = "") -> str:
    """Return the path that a request asks for, without the root path if it begins with it.

    ``root_path`` goes before that of the scope, which a server such as Uvicorn may set.

    Examples
    --------
    >>> paths = ("/cars/docs", "/docs", "/cars")
    >>> [route_path({"root_path": "/cars", "path": path}) for path in paths]
    ['/docs', '/docs', '/']
    """
    path: str = scope["path"]
    root: str = root_path or scope.get("root_path", "")
    if root and (path == root or path.startswith(f"{root}/")):
        return path[len(root) :] or "/"
    return path
