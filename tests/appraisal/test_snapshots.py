import datetime
import itertools

import pytest

from carprice.appraisal.snapshots import SUPPLY_DAYS, History, histories, supply


def day(number: int) -> datetime.date:
    return datetime.date(2025, 6, 1) + datetime.timedelta(number - 1)


FIRST, SECOND, THIRD = day(1), day(16), day(31)
DAYS = (FIRST, SECOND, THIRD)
# a gets cheaper twice, by 20 and by 10; b gets dearer and goes; c gets cheaper once, by 10; d goes
# at once; e is new in the second snapshot; f, in the third, has no price.
SNAPSHOTS = {
    FIRST: {"a": 500.0, "b": 300.0, "c": 400.0, "d": 250.0},
    SECOND: {"a": 480.0, "b": 310.0, "c": None, "e": 200.0},
    THIRD: {"a": 470.0, "c": 390.0, "e": 200.0, "f": None},
}
SIGHTINGS = [(car, on, price) for on, cars in SNAPSHOTS.items() for car, price in cars.items()]


def test_three_snapshots_by_hand() -> None:
    told = histories(SIGHTINGS)
    assert told == {
        "a": History(FIRST, THIRD, 2, 30.0),
        "b": History(FIRST, SECOND, 0, 0.0),
        "c": History(FIRST, THIRD, 1, 10.0),
        "d": History(FIRST, FIRST, 0, 0.0),
        "e": History(SECOND, THIRD, 0, 0.0),
        "f": History(THIRD, THIRD, 0, 0.0),
    }
    assert {car: one.days_listed for car, one in told.items()} == {
        **{"a": 30, "b": 15, "c": 30, "d": 0, "e": 15, "f": 0},
    }
    # 4 cars there, b and d gone in 30 days: one in 15 days.
    lasts = supply([one.last for one in told.values()], DAYS)
    assert (lasts.stock, lasts.departures, lasts.over, lasts.days) == (4, 2, 30, 60)


def test_the_order_of_reading_does_not_matter() -> None:
    for some in itertools.islice(itertools.permutations(SIGHTINGS), 0, 50_000, 977):
        assert histories(some) == histories(SIGHTINGS)


def test_a_car_is_listed_since_its_listing_says_so_if_that_is_before_it_is_seen() -> None:
    told = histories(SIGHTINGS, {"a": day(-9), "e": day(20)})
    assert told["a"].days_listed == 40
    assert told["e"].first == SECOND


def test_a_car_that_comes_back_is_not_gone() -> None:
    told = histories([("a", FIRST, 5.0), ("a", THIRD, 4.0), ("b", SECOND, 1.0)])
    assert told["a"] == History(FIRST, THIRD, 1, 1.0)
    assert supply([told["a"].last], DAYS).departures == 0


def test_the_first_of_two_sightings_on_a_day_counts() -> None:
    assert histories([("a", FIRST, 5.0), ("a", FIRST, 9.0), ("a", SECOND, 4.0)])["a"].dropped == 1


@pytest.mark.parametrize(
    ("days", "last", "departures"),
    [
        ((1, 101, 131), 101, 1.0),  # went in the 30 days before the newest
        ((1, 101, 131), 1, 0.15),  # in 100 days, of which the last 15 count
        ((1, 51, 131), 1, 0.0),  # before the 45 days
        ((1, 51, 131), 51, 45 / 80),
        ((1, 86, 131), 1, 0.0),  # up to the day on which they begin
    ],
)
def test_departures_of_the_last_45_days_count(
    days: tuple[int, ...], last: int, departures: float
) -> None:
    lasts = supply([day(last), day(131)], [day(number) for number in days])
    assert (lasts.stock, lasts.over) == (1, SUPPLY_DAYS)
    assert lasts.departures == pytest.approx(departures)
    expected = None if not departures else SUPPLY_DAYS / departures
    assert lasts.days == (None if expected is None else pytest.approx(expected))


def test_one_snapshot_tells_no_supply() -> None:
    lasts = supply([FIRST], [FIRST])
    assert (lasts.stock, lasts.over, lasts.days) == (1, 0, None)
    assert supply([], DAYS).days is None
