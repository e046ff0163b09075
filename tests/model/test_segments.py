from datetime import date

import numpy as np
import pytest

from carprice.listings.features import parse
from carprice.model import PriceModel
from carprice.model.segments import SegmentError, Segments

DAY = date(2025, 6, 30)


def measured() -> Segments:
    """120 Rios of 2 years that are 10 % off, 60 of 8 years and 30 Ceeds of 8 that are 20 % off."""
    rows = [("Rio", 2023)] * 120 + [("Rio", 2017)] * 60 + [("Ceed", 2017)] * 30
    models, years = zip(*rows, strict=True)
    columns = {"make": ["Kia"] * len(rows), "model": [*models], "year": [*years]}
    off = np.where(np.array(years) == 2023, 1.1, 0.8)
    price = np.full(len(rows), 5_000.0)
    return Segments.fit(parse(columns, DAY, "km"), price, price * off)


@pytest.mark.parametrize(
    ("model", "age", "segment"),
    [
        ("kia|rio", 2.0, ("kia|rio", "0-3", 120, 10.0)),
        ("kia|rio", 9.0, ("kia|rio", "7-9", 60, 20.0)),
        ("kia|rio", 5.0, ("kia|rio", "", 180, 40 / 3)),
        ("kia|ceed", 8.0, ("kia", "7-9", 90, 20.0)),
        ("kia|ceed", 12.0, ("kia", "", 210, 100 / 7)),
        ("bmw|3er", 8.0, ("", "7-9", 90, 20.0)),
    ],
)
def test_the_narrowest_segment_of_enough_cars_is_told(
    model: str, age: float, segment: tuple[str, str, int, float]
) -> None:
    found = measured().of(model, age)
    assert found is not None
    assert found[:3] == segment[:3]
    assert found.mape == pytest.approx(segment[3])


def test_where_nothing_was_measured_nothing_is_told() -> None:
    assert Segments().of("kia|rio", 2.0) is None


def test_what_was_written_is_read(finished) -> None:
    model = PriceModel.load(finished[0].model)
    assert Segments.from_json(model.segments.to_json()) == model.segments
    everywhere = model.segments.of("no|such", 200.0)
    whole = SegmentError("", "", *model.segments.errors[""][""])
    assert whole.mape == pytest.approx(model.metrics["mape"])
    assert everywhere is not None
    assert everywhere.band in ("10+", "")
