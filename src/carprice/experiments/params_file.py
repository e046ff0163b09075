"""Values written into a params file in place of others; all else stays byte for byte."""

from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any, Final

from carprice.errors import InputError, RefusedError
from carprice.settings import load_settings
from carprice.workspace import write_text

_WIDTH: Final = 10_000


def write_values(path: Path, values: Mapping[str, float]) -> list[str]:
    """Write values under their dotted keys; return the keys whose value is another one now.

    Comments, order, blank lines and spelling of all other values are kept. A section or key that
    is missing is added. The file is written in one step, and only if it can be read again.

    Raises
    ------
    InputError
        If the file cannot be read, or a section of it is no mapping.
    RefusedError
        If the file may not be written.
    """
    load_settings(path)  # refuses what the package would not read
    text = _read(path)
    yaml = _round_trip(text)
    content = yaml.load(text)
    if content is None:
        content = _new_section()
    changed = [name for name, value in values.items() if _put(content, name, value, path)]
    if changed:
        written = StringIO()
        yaml.dump(content, written)
        try:
            write_text(path, written.getvalue())
        except OSError as error:
            raise RefusedError(f"params file {path} cannot be written: {error}") from None
        load_settings(path)
    return changed


def _read(path: Path) -> str:
    with path.open(encoding="utf-8", newline="") as file:
        return file.read().replace("\r\n", "\n")


def _round_trip(text: str) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.util import load_yaml_guess_indent

    yaml = YAML(typ="rt")
    yaml.preserve_quotes = True
    yaml.width = _WIDTH
    _, indent, offset = load_yaml_guess_indent(text)
    yaml.indent(mapping=2, sequence=indent or 2, offset=offset or 0)
    return yaml


def _new_section() -> Any:
    from ruamel.yaml.comments import CommentedMap

    return CommentedMap()


def _put(content: Any, name: str, value: float, path: Path) -> bool:
    *sections, key = name.split(".")
    place = content
    for depth, section in enumerate(sections, start=1):
        if place.get(section) is None:
            place[section] = _new_section()
        place = place[section]
        if not isinstance(place, dict):
            at = ".".join(sections[:depth])
            raise InputError(f"params file {path}: {at} is no section; make it one of keys: values")
    if key in place and float(place[key]) == value:
        return False
    place[key] = value
    return True
