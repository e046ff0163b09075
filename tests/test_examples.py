import os
from pathlib import Path

import pytest

from carprice.listings.column_map import map_columns
from carprice.listings.sources import read_chunks
from carprice.settings import Settings, load_settings

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("CARPRICE_DATA") or ROOT / "../shared/data").resolve()
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))


def example(name: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("CARPRICE_DATA", str(DATA))
    return load_settings(ROOT / "examples" / f"{name}.yaml")


@pytest.mark.parametrize("name", [path.stem for path in EXAMPLES])
def test_an_example_is_a_valid_params_file(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert example(name, monkeypatch).ingest.columns or name == "cars24"


@pytest.mark.parametrize(
    ("name", "currency", "filled"),
    [
        ("cars24", "INR", ["variant", "fuel_type", "ownership", "features", "fitness_age"]),
        ("cardekho", "INR", ["variant", "engine_cc", "power_bhp", "fuel_economy", "ownership"]),
        ("uk", "GBP", ["fuel_type", "engine_cc", "fuel_economy", "road_tax"]),
        ("us", "USD", ["body_type", "color", "drive", "condition", "listed_on"]),
        ("nz", "NZD", ["transmission_type", "seats", "listed_on"]),
    ],
)
def test_an_example_reads_its_data_set(
    name: str, currency: str, filled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not (DATA / name).is_dir():
        pytest.skip(f"the data set {name} is not there; set CARPRICE_DATA to the data folder")
    settings = example(name, monkeypatch).ingest
    assert settings.units.currency == currency
    mapped = map_columns(next(iter(read_chunks(settings))), settings, price_required=True)
    for field in ("make", "model", "year", "odometer", "price", *filled):
        assert mapped.frame[field].notna().mean() > 0.45, field
        assert mapped.frame[field].nunique() > 0, field
    assert sum(found.count for found in mapped.unreadable.values()) <= 1
