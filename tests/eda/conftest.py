import re
from collections.abc import Callable
from pathlib import Path

import pytest

from carprice.arrays import quiet
from carprice.eda.findings import Findings, examine
from carprice.eda.report import render
from carprice.settings import Settings, load_settings

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def look() -> Callable[..., Findings]:
    """Look at a source with the given ingest settings."""

    def look_at(source: Path | str, **ingest: object) -> Findings:
        settings = Settings.model_validate({"ingest": {"source": str(source), **ingest}})
        return examine(settings, quiet)

    return look_at


@pytest.fixture(scope="session")
def sample_findings(look: Callable[..., Findings]) -> Findings:
    return look("sample", sample={"rows": 2500, "seed": 7})


@pytest.fixture(scope="session")
def sample_page(sample_findings: Findings) -> str:
    return render(sample_findings)


@pytest.fixture
def real(real_data: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Findings]:
    """Look at a market of the examples, or at another source by its params file."""

    def look_at(name: str, source: Path | None = None) -> Findings:
        monkeypatch.setenv("CARPRICE_DATA", str(real_data.resolve()))
        params = ROOT / "examples" / f"{name}.yaml"
        settings = load_settings(params, source=str(source) if source else None)
        findings = examine(settings, quiet)
        assert findings.market is not None
        page = render(findings)
        assert len(page.encode()) < 5_000_000
        assert not re.search(r"(?:src|href|url|import)\W{1,3}(?:https?:)?//", page)
        return findings

    return look_at
