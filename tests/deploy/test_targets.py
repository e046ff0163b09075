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
STRATEGIES = table("Strategies")[1:]
NAMES = list(dict.fromkeys(target for target, *_ in STRATEGIES))


def page_of(row: list[str]) -> Path:
    (place,) = re.findall(r"`(deploy/\S+\.md)`|\[(aws\.md)\]", row[0])
    return ROOT / (place[0] or f"docs/{place[1]}")


PAGES = dict(zip(NAMES, map(page_of, TARGETS), strict=True))


def test_both_tables_and_the_picture_have_the_same_targets_and_strategies() -> None:
    assert [re.split(r", | on ", row[0])[0] for row in TARGETS] == NAMES
    told = {
        f"{target}: {strategy}{' of a model' if of == 'model' else ''}"
        for target, strategy, of, _ in STRATEGIES
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
    assert cost(page_of(row)) == row[2]


@pytest.mark.parametrize("name", [name for name in NAMES if name != "Single host"])
def test_the_table_of_costs_adds_up(name: str) -> None:
    text = PAGES[name].read_text(encoding="utf-8")
    section = text.partition("## What it costs")[2].partition("\n##")[0]
    row = r"^\| ([^|*]+?) \| ([\d.]+)(?: [^|\d]+)? \| ([\d.]+) \| ([\d.]+) \|$"
    rows = re.findall(row, section, re.MULTILINE)
    assert len(rows) == len(re.findall(r"^\| (?!what \||---|\*)", section, re.MULTILINE)) > 5
    for what, quantity, price, amount in rows:
        assert abs(float(quantity) * float(price) - float(amount)) < 0.006, what
    (together,) = re.findall(r"^\| \*\*together\*\* \| \| \| \*\*([\d.]+)\*\* \|$", section, re.M)
    assert abs(sum(float(amount) for *_, amount in rows) - float(together)) < 0.005


@pytest.mark.parametrize("row", STRATEGIES, ids=[": ".join(row[:2]) for row in STRATEGIES])
def test_a_strategy_has_a_whole_command(row: list[str]) -> None:
    target, *_, told = row
    command = re.findall(r"`(.+?)`", told)[0].removeprefix("sudo ").split()[0]
    if (ROOT / command).is_file() or command in ("kubectl", "sh", "echo"):
        return
    assert f"\n{command}() {{" in PAGES[target].read_text(encoding="utf-8")


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_parameters_that_choose_a_strategy_are_the_templates(name: str) -> None:
    template = (ROOT / TEMPLATES[name]).read_text(encoding="utf-8")
    words = " ".join(told for target, *_, told in STRATEGIES if target == name)
    named = re.findall(r"\b([A-Z]\w+)=([A-Z_]+)?", " ".join(re.findall(r"`(.*?)`", words)))
    assert named
    for parameter, value in named:
        assert re.search(rf"^  {parameter}:$", template, re.MULTILINE), parameter
        assert value in template
