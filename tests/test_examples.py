from pathlib import Path

import pandas as pd
import pytest
import yaml

from carprice.arrays import quiet
from carprice.listings.column_map import map_chunks, map_columns
from carprice.listings.mapping import propose_params
from carprice.listings.sources import read_chunks
from carprice.schema import PRICE, REQUIRED
from carprice.settings import IngestSettings, load_settings

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_an_example_is_a_valid_params_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARPRICE_DATA", "data")
    assert load_settings(path).ingest.columns or path.stem == "cars24"


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
    name: str, currency: str, filled: list[str], real_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARPRICE_DATA", str(real_data))
    settings = load_settings(EXAMPLES / f"{name}.yaml").ingest
    assert settings.units.currency == currency
    mapped = map_columns(next(iter(read_chunks(settings))), settings, price_required=True)
    for field in ("make", "model", "year", "odometer", "price", *filled):
        assert mapped.frame[field].notna().mean() > 0.45, field
        assert mapped.frame[field].nunique() > 0, field
    assert sum(found.count for found in mapped.unreadable.values()) <= 1


@pytest.mark.parametrize("name", ["cars24", "cardekho", "uk", "us", "nz"])
def test_map_proposes_what_the_example_says_of_the_required_fields(
    name: str, real_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARPRICE_DATA", str(real_data))
    example = load_settings(EXAMPLES / f"{name}.yaml").ingest
    text, _, missing = propose_params(example.source, quiet)
    assert missing == []
    proposed = IngestSettings.model_validate(yaml.safe_load(text)["ingest"])
    is_known = proposed.units.currency != "XXX"
    assert proposed.units.currency == example.units.currency or not is_known
    assert proposed.units.distance == example.units.distance
    expected, found = (required_of(settings) for settings in (example, proposed))
    pd.testing.assert_frame_equal(expected, found)


def required_of(settings: IngestSettings) -> pd.DataFrame:
    chunks = map_chunks(read_chunks(settings), settings, price_required=True)
    frame = pd.concat([mapped.frame[[*REQUIRED, PRICE]] for _, mapped in chunks])
    return frame.assign(make=frame["make"].str.casefold(), model=frame["model"].str.casefold())
