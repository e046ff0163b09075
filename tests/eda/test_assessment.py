import numpy as np
import pandas as pd
import pytest

from carprice.eda.assessment import ColumnSummary, assess

ROWS = 200
COUNTING = np.arange(ROWS)


def looked(values: object, **fields: list[str]) -> ColumnSummary:
    (one,) = assess(pd.DataFrame({"a": values}), fields, {})
    return one


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (COUNTING, "number"),
        (COUNTING.astype(str), "number"),
        ([f"{n}.5" for n in COUNTING], "number"),
        ([f"{n} km" for n in COUNTING], "number with text"),
        ([f"23.{n} kmpl" for n in COUNTING], "number with text"),
        ([True, False] * 100, "yes/no"),
        (["Yes", "no"] * 100, "yes/no"),
        (["0", "1"] * 100, "yes/no"),
        ([f"2024-01-{1 + n % 28:02}" for n in COUNTING], "date"),
        ([f"{1 + n % 12}/{1 + n % 28}/2018" for n in COUNTING], "date"),
        (pd.date_range("2024-01-01", periods=ROWS), "date"),
        (["Kia", "BMW"] * 100, "text"),
        ([[1, 2]] * ROWS, "list"),
        (["[1, 2]", "[]"] * 100, "list"),
        ([None] * ROWS, "empty"),
        ([np.nan] * ROWS, "empty"),
    ],
)
def test_the_kind_of_a_column_is_told_by_its_values(values: object, kind: str) -> None:
    assert looked(values).kind == kind


def test_a_value_is_shown_only_if_ten_rows_hold_it() -> None:
    values = ["Kia"] * 100 + ["BMW"] * 10 + ["Ann's own"] * 9 + [f"car {n}" for n in range(81)]
    assert looked(values).common == (("Kia", 0.5), ("BMW", 0.05))


def test_a_number_is_shown_by_quantiles_unless_fewer_than_ten_rows_have_it() -> None:
    assert looked(COUNTING).quantiles == pytest.approx((9.95, 99.5, 189.05))
    assert looked([5.0] * 9 + [None] * 191).quantiles is None


@pytest.mark.parametrize("values", [["India"] * ROWS, [None] * ROWS, [7] * ROWS])
def test_a_column_of_one_value_says_nothing(values: list[object]) -> None:
    assert looked(values).is_constant


def test_a_flag_that_is_there_or_missing_says_something() -> None:
    assert not looked(["yes", None] * 100).is_constant


@pytest.mark.parametrize(
    ("values", "is_identifier"),
    [
        ([f"WDB{n:05}" for n in COUNTING], True),
        (10_000 + COUNTING, True),
        (COUNTING + 0.5, False),
        (COUNTING % 50, False),
        (pd.date_range("2024-01-01", periods=ROWS), False),
    ],
)
def test_an_identifier_has_a_value_of_its_own_in_nearly_every_row(
    values: object, is_identifier: bool
) -> None:
    assert looked(values).is_identifier == is_identifier


def test_a_number_that_a_field_reads_is_no_identifier_but_a_text_is() -> None:
    assert not looked(10_000 + COUNTING, a=["odometer"]).is_identifier
    assert looked([f"WDB{n:05}" for n in COUNTING], a=["variant"]).is_identifier


def test_columns_that_tell_the_same_rows_apart_are_named() -> None:
    fuel = np.array(["Petrol", "Diesel", "CNG"], dtype=object)[COUNTING % 3]
    raw = pd.DataFrame(
        {
            "fuel": fuel,
            "fuel code": COUNTING % 3,
            "other": COUNTING % 4,
            "fuel again": fuel,
            "row": COUNTING,
            "id": [f"x{n}" for n in COUNTING],
            "one": 1,
            "two": 2,
        }
    )
    found = {look.name: look.same_as for look in assess(raw, {}, {}) if look.same_as}
    assert found == {"fuel code": "fuel", "fuel again": "fuel"}


def test_fields_and_evidence_stand_with_their_column() -> None:
    raw = pd.DataFrame({"km": COUNTING, "emi": COUNTING})
    km, emi = assess(raw, {"km": ["odometer"]}, {"emi": "its name says 'emi'"})
    assert (km.fields, km.evidence) == (("odometer",), "")
    assert (emi.fields, emi.evidence) == ((), "its name says 'emi'")
