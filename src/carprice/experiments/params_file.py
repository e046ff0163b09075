"""Tuned values written into a params file, whose comments, order and quotes stay."""

import io
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from carprice.errors import RefusedError
from carprice.files import writing
from carprice.settings import load_settings

_HEADER: Final = re.compile(r"(?:[ \t]*(?:[#%].*)?\n)*---[ \t]*(?:#.*)?\n")
_INDENTS: Final = ((2, 4, 2), (2, 2, 0), (4, 6, 4), (4, 4, 2), (4, 4, 0))
"""Columns of a mapping, of a sequence and of its dash, the usual ones first."""


def write_values(path: Path, values: Mapping[str, float]) -> list[str]:
    r"""Write numbers under their dotted keys; return the keys whose value changed.

    A section or key that is missing is added. The file is replaced in one step and keeps its mode
    and line ends; a link stays a link. A file whose indentation is uneven gets an even one.

    Raises
    ------
    InputError
        If the file cannot be read as settings.
    RefusedError
        If the file cannot be written, or ``train`` has YAML anchors.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "params.yaml")
    ...     _ = path.write_text("train: # mine\n  hedonic: {make: 2.98, trim: 0.10}\n")
    ...     write_values(path, {"train.hedonic.make": 3.1, "train.hedonic.trim": 0.1})
    ...     print(path.read_text(), end="")
    ['train.hedonic.make']
    train: # mine
      hedonic: {make: 3.1, trim: 0.10}
    """
    text, changed = _edit(path, values)
    if changed:
        target = path.resolve()  # a link stays one
        try:
            mode = stat.S_IMODE(target.stat().st_mode)
            with writing(target) as scratch:
                scratch.write_text(text, encoding="utf-8", newline="")
                scratch.chmod(mode)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise RefusedError(f"params file {path} cannot be written: {reason}") from None
    return changed


def check_writable(path: Path, values: Mapping[str, float]) -> None:
    """Raise what :func:`write_values` would raise, and write nothing."""
    _edit(path, values)
    folder = path.resolve().parent
    if not os.access(folder, os.W_OK):
        raise RefusedError(f"params file {path} cannot be written: no right to write in {folder}")


def _edit(path: Path, values: Mapping[str, float]) -> tuple[str, list[str]]:
    """Return the text of the file with the values in it, and the keys whose value changed."""
    load_settings(path)  # refuses what the package would not read
    before = path.read_bytes().decode()
    text = before.replace("\r\n", "\n")
    header = found[0] if (found := _HEADER.match(text)) else ""
    yaml, content = _read(text.removeprefix(header))
    if content is None:
        header, content = text.rstrip("\n") + "\n" if text.strip() else "", CommentedMap()
    if "train" in content:
        _refuse_anchors(path, content["train"], header.count("\n"), content.lc.value("train")[0])
    changed = [name for name, value in values.items() if _set(content, name.split("."), value)]
    after = header + _written(yaml, content)
    return (after.replace("\n", "\r\n") if "\r\n" in before else after), changed


def _read(text: str) -> tuple[YAML, CommentedMap | None]:
    """Return the content, and the reader whose indentation gives the same text again."""
    yamls = [_reader(indent) for indent in _INDENTS]
    same = (yaml for yaml in yamls if _written(yaml, yaml.load(text)) == text)
    yaml = next(same, yamls[0])
    return yaml, yaml.load(text)


def _reader(indent: tuple[int, int, int]) -> YAML:
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 1_000_000
    yaml.indent(*indent)
    return yaml


def _written(yaml: YAML, content: CommentedMap) -> str:
    stream = io.StringIO()
    yaml.dump(content, stream)
    return stream.getvalue()


def _refuse_anchors(path: Path, node: Any, above: int, line: int) -> None:
    """Refuse values that may stand for several keys.

    Parameters
    ----------
    above : lines of the file above those that ``line`` counts from 0.
    """
    anchor = getattr(getattr(node, "anchor", None), "value", None)
    if anchor:
        raise RefusedError(
            f"params file {path}: line {above + line + 1} uses a YAML anchor or alias ({anchor!r}) "
            "in train, so that a value may stand for several keys; write out what it stands for"
        )
    for key in node if isinstance(node, CommentedMap) else ():
        _refuse_anchors(path, node[key], above, node.lc.value(key)[0])


def _set(content: CommentedMap, keys: list[str], value: float) -> bool:
    """Set a value below nested keys; tell whether it changed."""
    section = content
    for name in keys[:-1]:
        if name not in section:
            _add(section, name, CommentedMap(), last=section is content)
        section = section[name]
    if keys[-1] not in section:
        _add(section, keys[-1], value)
    elif _is_number(section[keys[-1]], value):
        return False
    else:
        section[keys[-1]] = value
    return True


def _add(section: CommentedMap, key: str, value: Any, *, last: bool = False) -> None:
    # First: comments that follow the last key of a section may belong to the next section.
    section.insert(len(section) if last else 0, key, value)


def _is_number(found: Any, value: float) -> bool:
    try:
        return float(found) == value
    except (TypeError, ValueError):
        return False
