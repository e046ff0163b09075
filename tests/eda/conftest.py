from collections.abc import Callable
from pathlib import Path

import pytest

from carprice.arrays import quiet
from carprice.eda.findings import Findings, examine
from carprice.eda.report import render
from carprice.settings import Settings


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
