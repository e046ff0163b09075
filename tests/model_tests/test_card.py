import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from carprice.components.workspace import read_json
from carprice.model import PriceModel
from carprice.model_folder import read_manifest
from carprice.model_tests.card import Subject, model_card, page
from carprice.model_tests.figures import Measured
from carprice.model_tests.results import ModelTestResult, Status
from carprice.model_tests.run import _Tests
from carprice.registry.versions import Version
from carprice.settings import GateSettings

SECTIONS = (
    *("What it is for", "Data", "Figures", "Figures by segment", "Ranges", "Limits", "Lineage"),
    *("Model tests", "Gate"),
)
EVIL = '<b onclick="x()">|![a](https://example.invalid/a.png) <script>alert(1)</script> `c` *d*'


@pytest.mark.parametrize(
    "content", ["[]", "5", '"x"', "null", "[" * 100_000, '{"a":' * 100_000, "{", "", "\ud800"]
)
def test_a_report_of_the_data_that_is_none_is_passed_over(tmp_path: Path, content: str) -> None:
    report = tmp_path / "report.json"
    report.write_text(content, encoding="utf-8", errors="surrogatepass")
    registry = SimpleNamespace(read_file=lambda *_: report)
    version, workspace = Version(1, (), {"data_digest": "d"}), SimpleNamespace(report=report)
    tests: Any = SimpleNamespace(
        registry=registry, version=version, workspace=workspace, scratch=tmp_path
    )
    assert _Tests.report_of_the_data(tests) is None
    report.write_text('{"data_digest": "d"}')
    assert _Tests.report_of_the_data(tests) == {"data_digest": "d"}


@pytest.fixture(scope="module")
def subject(finished: Any, model: PriceModel) -> Subject:
    import pandas as pd

    workspace = finished[0]
    train, test = map(pd.read_parquet, (workspace.train_listings, workspace.test_listings))
    tags = {
        "digest": model.digest,
        "data_digest": model.market.data_digest,
        "git_commit": "abc123",
        "gate": "accepted",
        "gate_reasons": "passed: MAPE 13 %; needs at most 30 % | note: no production model",
    }
    return Subject(
        name="used-car-price",
        version=Version(3, ("staging",), tags, "run7"),
        results=(ModelTestResult("digest", "bytes", Status.PASSED, "7 files", 0.1),),
        gate=GateSettings(),
        model=model,
        libraries=read_manifest(workspace.model)["libraries"],
        figures=Measured.measure(model, train, test),
        report=read_json(workspace.report, made_by="ingest"),
        parameters={"train.folds": "3"},
    )


def sections(card: str) -> dict[str, str]:
    parts = re.split(r"^## (.+)$", card, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_the_card_tells_everything_there_is(subject: Subject, finished: Any) -> None:
    card = model_card(subject)
    found = sections(card)
    assert tuple(found) == SECTIONS
    assert card.startswith("# Model card: used-car-price, version 3\n\nAll 1 model tests passed.")
    figures = finished[1].figures
    assert f"| MAPE | {figures['mape']:.2f} % | {figures['naive']['mape']:.2f} % |" in card
    assert f"| PRB | {figures['prb']:+.3f} | {figures['naive']['prb']:+.3f} | – |" in card
    assert f"| 10 | {figures['vertical_equity']['10']['rows']} | " in found["Figures"]
    assert "| source | `sample` |" in found["Data"]
    assert "| exact duplicate | " in found["Data"]
    assert subject.model is not None
    assert subject.model.listings is not None
    assert f"holds {len(subject.model.listings):,} of the listings" in found["Data"]
    without = replace(subject, model=replace(subject.model, listings=None))
    assert "of the listings that it learned from" not in model_card(without)
    for kind in ("age band", "price decile", "make", "cars of model"):
        assert f"| {kind} | rows | MAPE |" in found["Figures by segment"]
    assert f"| 90 % | {figures['coverage']:.1f} % |" in found["Ranges"]
    assert "near-twins in the data: its own noise is not known" in found["Limits"]
    assert re.search(r'"Everything else" is \d\.\d % of what .* \d+ test cars', found["Limits"])
    assert subject.version.digest in found["Lineage"]
    for fact in ("`abc123`", "`run7`", "onnxruntime", "| `train.folds` | 3 |"):
        assert fact in found["Lineage"]
    assert "| digest | bytes | passed | 7 files |" in found["Model tests"]
    assert "- note: no production model" in found["Gate"]


def test_a_card_of_what_could_not_be_loaded_says_so(subject: Subject) -> None:
    result = ModelTestResult("digest", "bytes", Status.FAILED, "SHA-256 differs", 0.1)
    version = Version(3, (), {"digest": "d" * 64}, "")
    bare = Subject("used-car-price", version, (result,), GateSettings())
    found = model_card(bare)
    assert "**1 of 1 model tests not passed.**" in found
    assert "Not measured: see the tests below." in found
    assert "Ingest's report of this model's data is not to be had here." in found
    assert "| digest | bytes | **failed** | SHA-256 differs |" in found
    assert "The gate before staging has not judged it." in found


def test_the_page_has_no_remote_reference_and_shows_texts_of_the_data_as_they_are(
    subject: Subject,
) -> None:
    figures = subject.figures
    assert figures is not None
    one = next(iter(figures.measured.segments["make"].values()))
    segments = {**figures.measured.segments, "make": {EVIL: {**one, "rows": 500}}}
    result = ModelTestResult(EVIL, EVIL, Status.FAILED, EVIL)
    evil = replace(
        subject,
        results=(result,),
        figures=replace(figures, measured=replace(figures.measured, segments=segments)),
        report={**(subject.report or {}), "source": EVIL, "rejected": {EVIL: 1}},
        parameters={EVIL: EVIL},
    )
    shown = page(EVIL, model_card(evil))
    tags = {name.lower() for name in re.findall(r"<\s*/?\s*([a-zA-Z!][\w-]*)", shown)}
    assert tags <= {
        *("!doctype", "html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "ul"),
        *("li", "strong", "code", "table", "thead", "tbody", "tr", "th", "td"),
    }
    assert not re.search(r"<[^>]*\b(src|href|srcset|action|on\w+)\s*=", shown)
    assert "url(" not in shown
    assert "@import" not in shown
    assert "<td>&lt;b onclick=&quot;x()&quot;&gt;|![a](https://example.invalid/a.png)" in shown
    assert "`c` *d*</td>" in shown
    assert "default-src 'none'" in shown
    assert "prefers-color-scheme: dark" in shown
    assert "<h1>Model card: used-car-price, version 3</h1>" in shown
