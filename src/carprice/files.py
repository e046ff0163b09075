"""Outputs that are written aside and then put in place, so that none is ever half written."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


@contextmanager
def writing(target: Path) -> Iterator[Path]:
    """Give a path beside ``target`` that takes its place when the block succeeds."""
    with _scratch(target) as scratch:
        written = scratch / target.name
        yield written
        written.replace(target)


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Give a new folder beside ``target`` that takes its place when the block succeeds."""
    with _scratch(target) as scratch:
        written = scratch / "new"
        written.mkdir()
        yield written
        if target.exists():
            target.rename(scratch / "old")
        written.rename(target)


@contextmanager
def _scratch(target: Path) -> Iterator[Path]:
    """Give a folder beside ``target``; folders made for it go again if they stay empty."""
    made = [folder for folder in target.parents if not folder.exists()]
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as scratch:
            yield Path(scratch)
    finally:
        for folder in made:
            with suppress(OSError):
                folder.rmdir()


def write_text(target: Path, text: str) -> None:
    """Write a text file in one step."""
    with writing(target) as path:
        path.write_text(text, encoding="utf-8", newline="\n")


def write_json(target: Path, content: Any) -> None:
    """Write a JSON file in one step."""
    write_text(target, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
