"""The table of targets, the table of strategies and the picture of both say the same."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
TEMPLATES = {
    "ECS Fargate": "deploy/ecs/service.yaml",
    "SageMaker": "deploy/sagemaker/template.yaml",
    "Lambda": "deploy/lambda/template.yaml",
}


def table(section: str) -> list[list[str]]:
    """Return the rows of the first table of a section, the head first."""
    text = PAGE.partition(f"## {section}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ?(.*) \|$", text, re.MULTILINE)
    return [re.split(r" ?\| ", row) for row in rows if not row.startswith("---")]


TARGETS = table("Which target")[1:]
STRATEGIES = table("Strategies")
NAMES = STRATEGIES[0][1:]


def test_both_tables_and_the_picture_have_the_same_targets_and_strategies() -> None:
    assert [re.split(r", | on ", row[0])[0] for row in TARGETS] == [
        name.split(",")[0] for name in NAMES
    ]
    told = {
        f"{name}: {strategy}{' of a model' if how.startswith('of models') else ''}"
        for strategy, *ways in STRATEGIES[1:]
        for name, how in zip(NAMES, ways, strict=True)
        if how != "–"
    }
    picture = ElementTree.parse(ROOT / "docs" / "deploy.svg")  # noqa: S314
    shown = {one.text for one in picture.iterfind(".//{*}circle/{*}title")}
    assert shown == told


def cost(page: Path) -> str:
    """Return the sum that a page of a target comes to."""
    text = page.read_text(encoding="utf-8")
    found = re.findall(r"\| \*\*together\*\* \|.*\*\*([\d.]+)\*\* \|$", text, re.MULTILINE)
    found += re.findall(r": ([\d.]+) USD a month", text)
    assert found, page
    return str(found[0])


@pytest.mark.parametrize("row", TARGETS, ids=NAMES)
def test_a_target_has_a_page_that_comes_to_the_same_cost(row: list[str]) -> None:
    (place,) = re.findall(r"`(deploy/\S+\.md)`|\[(aws\.md)\]", row[0])
    page = ROOT / (place[0] or f"docs/{place[1]}")
    assert cost(page) == row[2]


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_parameters_that_choose_a_strategy_are_the_templates(name: str) -> None:
    template = (ROOT / TEMPLATES[name]).read_text(encoding="utf-8")
    column = NAMES.index(name) + 1
    words = " ".join(row[column] for row in STRATEGIES[1:])
    named = re.findall(r"\b([A-Z]\w+)(?:=([A-Z_]+))?", " ".join(re.findall(r"`(.*?)`", words)))
    assert named
    for parameter, value in named:
        assert re.search(rf"^  {parameter}:$|\b{parameter}\b", template, re.MULTILINE), parameter
        assert value in template
