"""Templates and static files of the page, read from the package once."""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from api.pages import charts

if TYPE_CHECKING:
    from jinja2 import Environment

_HERE: Final = Path(__file__).parent
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
POLICY: Final = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    b"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""What a page may load and do: what comes from this service, and no script or style in it."""


@dataclass(frozen=True)
class StaticFile:
    """A file that pages load; ``version`` is the start of its SHA-256."""

    content: bytes
    media_type: str
    version: str


@cache
def static_files() -> dict[str, StaticFile]:
    """Return the files by their names."""
    found = {}
    for path in sorted((_HERE / "static").iterdir()):
        if path.suffix in _TYPES:
            content = path.read_bytes()
            version = hashlib.sha256(content).hexdigest()[:16]
            found[path.name] = StaticFile(content, _TYPES[path.suffix], version)
    return found


@cache
def _templates() -> "Environment":
    import jinja2  # not for a start to wait for

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["charts"] = charts
    return environment


def render(template: str, root: str, **values: Any) -> str:
    """Return a page; ``root`` is the path below which readers see the service."""
    files = static_files().items()
    static = {name: f"{root}/app/static/{name}?v={one.version}" for name, one in files}
    return _templates().get_template(template).render(root=root, static=static, **values)
