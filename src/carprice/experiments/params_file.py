"""Values written into a params file in place of others; all else stays, byte for byte.

The parser tells where in the text a value stands. A file that is read and written again, as YAML
libraries do it, keeps its comments at best, but not its indentation.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from carprice.atomic import writing
from carprice.errors import RefusedError
from carprice.settings import load_settings

_INDENT: Final = 2

Nested = Mapping[str, Any]


@dataclass(frozen=True)
class _Edit:
    start: int
    end: int
    text: str


def write_values(path: Path, values: Mapping[str, float]) -> list[str]:
    r"""Write numbers under their dotted keys; return the keys whose value is another one now.

    A section or key that is missing is added. The file is written in one step.

    Raises
    ------
    InputError
        If the file cannot be read as settings.
    RefusedError
        If it cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "params.yaml")
    ...     _ = path.write_text("train: # mine\n  hedonic: {make:  2.98, trim: 0.1}\n")
    ...     write_values(path, {"train.hedonic.make": 3.1, "train.hedonic.trim": 0.1})
    ...     print(path.read_text(), end="")
    ['train.hedonic.make']
    train: # mine
      hedonic: {make:  3.1, trim: 0.1}
    """
    load_settings(path)  # refuses what the package would not read
    with path.open(encoding="utf-8", newline="") as file:
        text = file.read()
    root, changed = yaml.compose(text, yaml.SafeLoader), list[str]()
    if isinstance(root, yaml.MappingNode):
        edits = _edits(root, _nested(values), (), changed)
    else:
        edits, changed = [_at_the_end(_nested(values))], [*values]
    if changed:
        _write(path, _edited(text, edits))
    return changed


def _write(path: Path, text: str) -> None:
    try:
        with writing(path) as scratch:
            scratch.write_text(text, encoding="utf-8", newline="")
            load_settings(scratch)
    except OSError as error:
        raise RefusedError(f"params file {path} cannot be written: {error}") from None


def _nested(values: Mapping[str, float]) -> dict[str, Any]:
    root: dict[str, Any] = {}
    for name, value in values.items():
        *sections, key = name.split(".")
        place = root
        for section in sections:
            place = place.setdefault(section, {})
        place[key] = value
    return root


def _edits(
    node: yaml.MappingNode, values: Nested, above: tuple[str, ...], changed: list[str]
) -> list[_Edit]:
    """Return the edits of a mapping, and add the keys that they change to ``changed``."""
    found = {key.value: value for key, value in node.value}
    edits: list[_Edit] = []
    missing: dict[str, Any] = {}
    for key, value in values.items():
        name, there = (*above, key), found.get(key)
        if there is None:
            missing[key] = value
        elif isinstance(there, yaml.MappingNode):
            edits += _edits(there, value, name, changed)
        elif float(yaml.safe_load(there.value)) != value:
            changed.append(".".join(name))
            edits.append(_Edit(there.start_mark.index, there.end_mark.index, repr(value)))
    if missing:
        changed += _names(missing, above)
        edits.append(_addition(node, missing, is_root=not above))
    return edits


def _addition(node: yaml.MappingNode, missing: Nested, *, is_root: bool) -> _Edit:
    if node.flow_style:
        place = node.start_mark.index + 1
        return _Edit(place, place, _flow(missing)[1:-1] + (", " if node.value else ""))
    if is_root:
        return _at_the_end(missing)
    first = node.value[0][0].start_mark
    indent = " " * first.column
    lines = f"\n{indent}".join(_lines(missing, 0))
    return _Edit(first.index, first.index, f"{lines}\n{indent}")


def _at_the_end(values: Nested) -> _Edit:
    return _Edit(sys.maxsize, sys.maxsize, "".join(f"{line}\n" for line in _lines(values, 0)))


def _flow(values: Nested) -> str:
    parts = (f"{k}: {_flow(v) if isinstance(v, dict) else repr(v)}" for k, v in values.items())
    return "{" + ", ".join(parts) + "}"


def _lines(values: Nested, column: int) -> list[str]:
    lines = []
    for key, value in values.items():
        if isinstance(value, dict):
            lines += [f"{' ' * column}{key}:", *_lines(value, column + _INDENT)]
        else:
            lines.append(f"{' ' * column}{key}: {value!r}")
    return lines


def _names(values: Nested, above: tuple[str, ...]) -> list[str]:
    names = []
    for key, value in values.items():
        name = (*above, key)
        names += _names(value, name) if isinstance(value, dict) else [".".join(name)]
    return names


def _edited(text: str, edits: list[_Edit]) -> str:
    if any(edit.start == sys.maxsize for edit in edits) and text[-1:] not in ("\n", ""):
        text += "\n"
    for edit in sorted(edits, key=lambda one: one.start, reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text
