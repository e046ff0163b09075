import pytest

from carprice.model.cautions import (
    CHECKED_NUMBERS,
    Caution,
    first_unseen,
    future_year,
    impossible_odometer,
    out_of_range,
    unseen,
)
from carprice.model.vocabulary import Vocabulary
from carprice.schema import FIELDS

KNOWN = {
    "make": {"kia": 0.1},
    "model": {"kia|sonet": 0.1},
    "variant": {"kia|sonet|HTX": 0.1},
    "word": {"HTX": 0.1},
}
VOCABULARY = Vocabulary({"kia": {"sonet": ("HTX", "HTX PLUS")}})


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("kia", "kia|sonet", "kia|sonet|HTX"), None),
        (("kia", "kia|sonet", None), None),
        (("kia", "kia|sonet", "kia|sonet|X"), "variant"),
        (("kia", "kia|x", "kia|x|HTX"), "model"),
        (("x", "x|sonet", None), "make"),
    ],
)
def test_the_first_unseen_name_is_told(
    names: tuple[str, str, str | None], expected: str | None
) -> None:
    assert first_unseen(KNOWN, *names) == expected


def test_a_market_without_variants_misses_none() -> None:
    assert first_unseen(KNOWN | {"word": {}}, "kia", "kia|sonet", "kia|sonet|X") is None


@pytest.mark.parametrize(
    ("field", "given", "model", "message"),
    [
        ("make", "Kya", "kya|sonet", "priced like every make on average"),
        ("make", "KIAA", "kiaa|x", "priced like every make on average; nearest known: kia"),
        ("model", "Sonnet", "kia|sonnet", "priced like its make on average; nearest known: sonet"),
        ("model", "Rio", "kia|rio", "priced like its make on average"),
        (
            "variant",
            "HTX+ 1.5",
            "kia|sonet",
            "priced like its model on average; nearest known: HTX PLUS, HTX",
        ),
        ("variant", "GT", "kia|sonet", "priced like its model on average"),
    ],
)
def test_an_unseen_name_is_told_with_the_nearest_known(
    field: str, given: str, model: str, message: str
) -> None:
    expected = f"{field} {given!r} was not in the training data; {message}"
    assert unseen(field, given, model, VOCABULARY) == Caution(f"unseen_{field}", field, expected)


def test_what_cannot_be_is_implausible() -> None:
    odometer = impossible_odometer(900_000.0, 6.0, "km")
    assert (odometer.kind, odometer.field) == ("implausible", "odometer")
    assert odometer.message.startswith("900,000 km cannot be right for a car of 6 years; priced as")
    year = Caution("implausible", "year", "2030 is after the day of the price; priced as a new car")
    assert future_year(2030.0) == year


def test_a_number_outside_is_told_by_its_field() -> None:
    expected = "powerBhp 2000 is outside 40–600, what the model has seen"
    assert out_of_range("power_bhp", 2000.0, 40.0, 600.0) == Caution(
        "out_of_range", "powerBhp", expected
    )
    assert out_of_range("age", 75.0, 0.0, 20.0).message.startswith("an age of 75 years is outside")


def test_every_checked_number_has_a_field_of_a_listing() -> None:
    assert set(CHECKED_NUMBERS.values()) <= set(FIELDS)
