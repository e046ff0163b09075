"""Tuned values written into a params file, whose comments, order and quotes stay."""

import io
import itertools
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode
from ruamel.yaml.representer import RoundTripRepresenter

from carprice import files
from carprice.errors import RefusedError
from carprice.settings import load_settings

_HEADER: Final = re.compile(r"(?:[ \t]*(?:[#%].*)?\n)*---[ \t]*(?:#.*)?\n")
_INDENTS: Final = ((2, 4, 2), (2, 2, 0), (4, 6, 4), (4, 4, 2), (4, 4, 0))
"""Columns of a mapping, of a sequence and of its dash, the usual ones first."""


def write_values(path: Path, values: Mapping[str, float]) -> list[str]:
    r"""Write numbers under their dotted keys; return the keys whose value changed.

    What is missing is added. The file is replaced in one step and keeps its mode and line ends; a
    link stays a link. A file whose indentation is uneven gets an even one.

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
    ...     _ = path.write_text("train: # mine\n  booster: {max_depth: 8, subsample: 0.70}\n")
    ...     write_values(path, {"train.booster.max_depth": 6, "train.booster.subsample": 0.7})
    ...     print(path.read_text(), end="")
    ['train.booster.max_depth']
    train: # mine
      booster: {max_depth: 6, subsample: 0.70}
    """
    text, changed = _edit(path, values)
    if changed:
        target = path.resolve()  # a link stays one
        with files.writing(target) as scratch:
            scratch.write_text(text, encoding="utf-8", newline="")
            shutil.copymode(target, scratch)
    return changed


def check_writable(path: Path, values: Mapping[str, float]) -> None:
    """Raise what :func:`write_values` would raise, and write nothing."""
    _edit(path, values)
    files.check_writable(path.resolve())


def _edit(path: Path, values: Mapping[str, float]) -> tuple[str, list[str]]:
    """Return the text of the file with the values in it, and the keys whose value changed."""
    load_settings(path)  # refuses what the package would not read
    before = path.read_bytes().decode()
    text = before.replace("\r\n", "\n")
    _refuse_anchors(path, YAML().compose(text))
    header = found[0] if (found := _HEADER.match(text)) else ""
    yaml, content = _read(text.removeprefix(header))
    if content is None:
        header, content = text.rstrip("\n") + "\n" if text.strip() else "", CommentedMap()
    changed = [name for name, value in values.items() if _set(content, name.split("."), value)]
    after = header + _written(yaml, content)
    return (after.replace("\n", "\r\n") if "\r\n" in before else after), changed


def _refuse_anchors(path: Path, node: Node | None, key: str | None = None) -> None:
    """Refuse values in ``train`` that may stand for several keys."""
    if node and node.anchor and key:
        raise RefusedError(
            f"params file {path}: line {node.start_mark.line + 1} uses a YAML anchor or alias "
            f"({node.anchor!r}) in train, so that a value may stand for several keys; write out "
            "what it stands for"
        )
    for name, value in node.value if isinstance(node, MappingNode) else ():
        if key or name.value == "train":
            _refuse_anchors(path, value, name.value)


def _read(text: str) -> tuple[YAML, CommentedMap | None]:
    """Return the content, and the writer whose indentation and nulls give the same text again."""
    styles = [*itertools.product((RoundTripRepresenter, _WithNulls), _INDENTS)]
    yamls = [YAML() for _ in styles]
    for yaml, (representer, indent) in zip(yamls, styles, strict=True):
        yaml.Representer = representer
        yaml.preserve_quotes = True
        yaml.width = 1_000_000
        yaml.indent(*indent)
    same = (yaml for yaml in yamls if _written(yaml, yaml.load(text)) == text)
    yaml = next(same, yamls[0])
    return yaml, yaml.load(text)


class _WithNulls(RoundTripRepresenter):
    """Writes ``null`` where a value is none; ruamel.yaml leaves it out."""

    def represent_none(self, _: None) -> ScalarNode:
        return self.represent_scalar("tag:yaml.org,2002:null", "null")


_WithNulls.add_representer(type(None), _WithNulls.represent_none)


def _written(yaml: YAML, content: CommentedMap) -> str:
    stream = io.StringIO()
    yaml.dump(content, stream)
    return stream.getvalue()


def _set(content: CommentedMap, keys: Sequence[str], value: float) -> bool:
    """Set a value below nested keys; tell whether it changed."""
    key, *deeper = keys
    if key not in content:
        # First: comments that follow the last key of a section may belong to the next section.
        place = len(content) if key == "train" else 0
        content.insert(place, key, CommentedMap() if deeper else None)
    if deeper:
        if not isinstance(content[key], Mapping):  # "auto", and what a comment says of that
            content[key] = CommentedMap()
            content.ca.items.pop(key, None)
        return _set(content[key], deeper, value)
    if content[key] == value:
        return False
    content[key] = value
    return True
