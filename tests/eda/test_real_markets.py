"""What is known of the real listings must be found in them."""

import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from carprice.arrays import quiet
from carprice.eda.advice import advise
from carprice.eda.drift import DriftVerdict
from carprice.eda.findings import Findings, examine
from carprice.eda.report import render
from carprice.listings.reading import clean_source, read_source
from carprice.settings import load_settings

EXAMPLES = Path(__file__).parents[2] / "examples"
Real = Callable[..., tuple[Findings, str]]


@pytest.fixture
def real(real_data: Path, monkeypatch: pytest.MonkeyPatch) -> Real:
    """Look at a market of the examples, or at another source by its params file; draw its page."""

    def look_at(name: str, source: Path | None = None) -> tuple[Findings, str]:
        monkeypatch.setenv("CARPRICE_DATA", str(real_data.resolve()))
        settings = load_settings(EXAMPLES / f"{name}.yaml", source=str(source) if source else None)
        findings = examine(settings, quiet)
        assert findings.market is not None
        page = render(findings)
        assert len(page.encode()) < 5_000_000
        assert not re.search(r"(?:src|href|url|import)\W{1,3}(?:https?:)?//", page)
        return findings, page

    return look_at


def advice(findings: Findings, title: str) -> str:
    (found,) = (one for one in advise(findings) if title in one.title)
    return found.text


def test_cars24_names_its_leaks_its_noise_and_its_dearest_car(
    real: Real, cars24_table: Path
) -> None:
    findings, page = real("cars24", cars24_table)
    market = findings.market
    leaks = {column.name for column in findings.leaks}
    assert leaks == {
        *("cashDownPayment", "avgEmi", "emiStartingValue", "emiEndingValue"),
        *("emiOriginalStartingValue", "emiOriginalEndingValue"),
        *("roiMinDiscounted", "roiMaxDiscounted", "roiMinOriginal", "roiMaxOriginal"),
    }
    assert market.noise.mdape == pytest.approx(6.6, abs=0.5)
    assert market.noise.mape == pytest.approx(9.6, abs=0.5)
    dearest = market.outliers.dearest[0]
    assert dearest.price == 25_000_000
    assert dearest.of_squared_error > 0.4
    assert market.numbers[0].skew == pytest.approx(11, abs=0.5)
    assert market.rare_models == (109, 254)
    assert market.unseen["variant"] == pytest.approx(0.11, abs=0.02)
    assert market.drift.verdict is DriftVerdict.NO_DATES
    assert "25,000,000 INR" in advice(findings, "One car decides")
    assert "25,000,000" in page
    assert all(name in page for name in leaks)


def test_the_dates_of_the_us_show_no_drift_and_are_doubted(real: Real) -> None:
    findings, _ = real("us")
    drift = findings.market.drift
    assert drift.verdict is DriftVerdict.NO_DRIFT
    assert drift.between[0] < 0 < drift.between[1]
    assert drift.p_value > 0.05
    assert drift.loss > 0.04
    assert drift.evenness == pytest.approx(1, abs=0.2)
    text = advice(findings, "No drift over its dates: are they real?")
    assert "a year of age costs like cars" in text
    assert findings.rejected["price below 500"] > 798


def test_new_zealands_auctions_drift(real: Real, tmp_path: Path, real_data: Path) -> None:
    some = pd.read_parquet(real_data / "nz" / "lots.parquet").sample(15_000, random_state=0)
    some.to_parquet(tmp_path / "lots.parquet", index=False)
    findings, _ = real("nz", tmp_path / "lots.parquet")
    drift = findings.market.drift
    assert drift.verdict is DriftVerdict.DRIFT
    assert drift.p_value < 1e-6
    assert drift.market > 0.05
    assert "ingest.split.method: time" in advice(findings, "Prices drift over time")


def test_exact_duplicates_are_counted(real: Real) -> None:
    findings, _ = real("cardekho")
    assert findings.rejected["exact duplicate"] == 1202


def test_exact_duplicates_and_a_year_to_come_are_rejected_in_a_market_of_many_files(
    real_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARPRICE_DATA", str(real_data.resolve()))
    settings = load_settings(EXAMPLES / "uk.yaml").ingest
    rejected = clean_source(read_source(settings, quiet), settings).counts.rejected
    assert rejected["exact duplicate"] == 1475
    assert any("year" in reason for reason in rejected)
