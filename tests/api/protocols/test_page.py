"""The commands of docs/protocols.md work, and their answers have the form that the page shows."""

import csv
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[3] / "docs" / "protocols.md"
SHOWN = re.findall(
    r"```sh\n(curl .*?)\n```\n\n```(json|csv)\n(.*?)\n```", PAGE.read_text(encoding="utf-8"), re.S
)


def form(content: Any) -> Any:
    """Return a JSON value with each number and text replaced by its type."""
    if isinstance(content, dict):
        return {name: form(value) for name, value in content.items()}
    if isinstance(content, list):
        return [form(value) for value in content]
    return type(content).__name__


def test_the_page_shows_each_form() -> None:
    commands = " ".join(command for command, _, _ in SHOWN)
    for part in ("dataframe_split", "dataframe_records", "inputs", "text/csv", "/infer"):
        assert part in commands


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.parametrize(("command", "kind", "shown"), SHOWN)
def test_a_command_gets_an_answer_of_the_form_shown(
    running: Any, command: str, kind: str, shown: str
) -> None:
    asked = command.replace("localhost:8000", f"127.0.0.1:{running.port}")
    done = subprocess.run(
        ["bash", "-c", asked], capture_output=True, text=True, check=True, timeout=60
    )
    if kind == "json":
        assert without_warnings(json.loads(done.stdout)) == without_warnings(json.loads(shown))
    else:
        told, expected = (list(csv.reader(text.splitlines())) for text in (done.stdout, shown))
        assert told[0] == expected[0]
        assert len(told) == len(expected)


def without_warnings(answer: dict[str, Any]) -> Any:
    for one in answer.get("predictions", []):
        del one["warnings"]
    return form(answer)
