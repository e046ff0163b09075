import datetime

from asking import BARE, FULL

from carprice.monitoring.canary import share_of


def test_the_share_of_cars_is_the_asked_one_and_a_larger_one_holds_the_smaller() -> None:
    numbers = [
        share_of({**BARE, "make": make, "year": year, "odometer": 1_000.5 * place})
        for make in ("Hyundai", "Kia", "Škoda", "ŠKODA Auto")
        for year in range(2000, 2025)
        for place in range(100)
    ]
    assert len(set(numbers)) == len(numbers) == 10_000
    assert 0 <= min(numbers) < max(numbers) < 1
    for share in (0.01, 0.05, 0.2, 0.5):
        assert abs(sum(one < share for one in numbers) / len(numbers) - share) < 0.01


def test_a_car_is_the_same_however_it_is_spelled_and_whatever_else_is_said() -> None:
    same = (
        {**BARE, "make": " hyundai", "model": "CRETA  "},
        {**BARE, "year": 2018.0, "odometer": 61000.0},
        {**FULL, "asking_price": 9e5, "listed_on": datetime.date(2024, 1, 1)},
        {**BARE, "make": "\uff28yundai"},
    )
    assert {share_of(one) for one in same} == {share_of(BARE)}
    assert share_of(BARE) == 0.45129846356841063  # on every machine and version, for ever
    others = ({**BARE, "odometer": 61001}, {**BARE, "year": None}, {**BARE, "model": "i20"}, {})
    assert len({share_of(one) for one in (*others, BARE)}) == 5
