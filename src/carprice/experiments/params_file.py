"""Values written into a params file in place of others; all else stays, byte for byte.

The parser tells where in the text a value stands. A file that is read and written again, as YAML
libraries do it, keeps its comments at best, but not its indentation.
"""

import os
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from carprice.errors import RefusedError
from carprice.files import writing
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

    A section or key that is missing is added. The file is written in one step, and keeps its mode
    and line ends; where it is a link, what that leads to is written.

    Raises
    ------
    InputError
        If the file cannot be read as settings.
    RefusedError
        If it cannot be written, or ``train`` has YAML anchors.

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
    text, changed = _read_and_edit(path, values)
    if changed:
        _write(path, text)
    return changed


def check_writable(path: Path, values: Mapping[str, float]) -> None:
    """Do what :func:`write_values` does but for the writing, and raise what it would raise."""
    _read_and_edit(path, values)
    folder = path.resolve().parent
    if not os.access(folder, os.W_OK):
        raise RefusedError(f"params file {path} cannot be written: no right to write in {folder}")


def _read_and_edit(path: Path, values: Mapping[str, float]) -> tuple[str, list[str]]:
    """Return the file's text with the values in it, and the keys whose value is another one."""
    load_settings(path)  # refuses what the package would not read
    with path.open(encoding="utf-8", newline="") as file:
        text = file.read()
    root, changed = yaml.compose(text, yaml.SafeLoader), list[str]()
    _refuse_anchors(path, text, root)
    if isinstance(root, yaml.MappingNode):
        edits = _edits(root, _nested(values), (), changed)
    else:
        edits, changed = [_at_the_end(_nested(values))], [*values]
    edited = _edited(text, edits)
    _check(path, text, edited, values)
    return edited, changed


def _refuse_anchors(path: Path, text: str, root: yaml.Node | None) -> None:
    """Refuse anchors and aliases from the first line of ``train`` to its last."""
    pairs = root.value if isinstance(root, yaml.MappingNode) else []
    sections = [(key, node) for key, node in pairs if key.value == "train"]
    anchors = [
        token
        for token in yaml.scan(text, yaml.SafeLoader)
        if isinstance(token, (yaml.AnchorToken, yaml.AliasToken))
    ]
    following = [key.start_mark.index for key, _ in pairs] + [sys.maxsize]
    for key, _ in sections:
        end = min(place for place in following if place > key.start_mark.index)
        for token in anchors:
            if key.start_mark.index < token.start_mark.index < end:
                raise RefusedError(
                    f"params file {path}: line {token.start_mark.line + 1} uses a YAML anchor or "
                    f"alias ({token.value!r}) in train, so that a value may stand for several "
                    "keys; write out what it stands for"
                )


def _check(path: Path, before: str, after: str, values: Mapping[str, float]) -> None:
    """Read the edited text and see that it says what it should, and nothing else."""
    wanted = _merged(yaml.safe_load(before) or {}, _nested(values))
    try:
        found = yaml.safe_load(after)
    except yaml.YAMLError:
        found = None
    if found != wanted:
        raise RefusedError(
            f"params file {path} is written in a way in which values cannot be put in place of "
            "others; write them by hand"
        )


def _merged(content: Nested, values: Nested) -> dict[str, Any]:
    merged = dict(content)
    for key, value in values.items():
        inner = isinstance(value, dict)
        merged[key] = _merged(content.get(key) or {}, value) if inner else value
    return merged


def _write(path: Path, text: str) -> None:
    target = path.resolve()  # a link stays one
    try:
        mode = stat.S_IMODE(target.stat().st_mode)
        with writing(target) as scratch:
            scratch.write_text(text, encoding="utf-8", newline="")
            scratch.chmod(mode)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise RefusedError(f"params file {path} cannot be written: {reason}") from None


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
        elif not _has(there, value):
            changed.append(".".join(name))
            edits.append(_Edit(there.start_mark.index, there.end_mark.index, repr(value)))
    if missing:
        changed += _names(missing, above)
        edits.append(_addition(node, missing, is_root=not above))
    return edits


def _has(node: yaml.Node, value: float) -> bool:
    try:
        return float(node.value) == value
    except (TypeError, ValueError):
        return False


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
    end = "\r\n" if "\r\n" in text else "\n"
    if any(edit.start == sys.maxsize for edit in edits) and text[-1:] not in ("\n", ""):
        text += end
    for edit in sorted(edits, key=lambda one: one.start, reverse=True):
        text = text[: edit.start] + edit.text.replace("\n", end) + text[edit.end :]
    return text
