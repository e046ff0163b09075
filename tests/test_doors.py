"""The same price, warnings and problem for a listing at every door, however odd it is."""

import csv
import io
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from api.served import ServedModel
from carprice import PriceRegressor
from carprice.components.predict import predict
from carprice.errors import InputError
from carprice.model import PriceModel
from carprice.pyfunc import PricePyfunc
from carprice.settings import IngestSettings

CAR: dict[str, Any] = {
    **{"make": "Maruti", "model": "Swift", "variant": "VXI 1.2", "year": 2019, "odometer": 42000},
    **{"transmissionType": "Manual", "fuelType": "Petrol", "bodyType": "Hatchback"},
    **{"ownership": 1, "color": "White", "fitnessAge": 15, "features": "Bluetooth, AlloyWheels"},
}
REQUIRED = "this field is required"
AT_LEAST, AT_MOST = "greater than or equal to", "less than or equal to"
ODD: list[tuple[dict[str, Any], str]] = [
    ({}, ""),
    *(({"transmissionType": text}, "") for text in ("MT", "manuals", "Schaltgetriebe", "механика")),
    *(({"transmissionType": text}, "") for text in ("AT", "Automatik", "CVT", "6-speed manual")),
    *(({"fuelType": text}, "") for text in ("Gasoline", "Benzin", "gas oline", "DIESEL")),
    *(({"bodyType": text}, "") for text in ("SUVs", "Sports Utility Vehicle", "saloon", "hatch")),
    ({"transmissionType": "Warp"}, "unseen_value transmissionType"),
    ({"fuelType": "Petrl"}, "unseen_value fuelType"),
    ({"bodyType": "Spaceship"}, "unseen_value bodyType"),
    ({"color": "Octarine"}, "unseen_value color"),
    ({"features": "Bluetooth; Jacuzzi"}, "unseen_value features"),
    ({"features": "Bluetooth|AlloyWheels"}, ""),
    ({"features": ""}, ""),
    *(({"variant": blank, "color": blank, "region": blank}, "") for blank in ("", " \t", "\xa0")),
    ({"make": "Nobody"}, "unseen_make make"),
    ({"model": "Never"}, "unseen_model model"),
    ({"variant": "NEVER 9"}, "unseen_variant variant"),
    ({"fitnessAge": 50}, "out_of_range fitnessAge"),
    ({"ownership": 20}, "out_of_range ownership"),
    *(({"engineCc": litres}, "out_of_range engineCc") for litres in (1.2, 2, 49)),
    ({"fuelType": "Elektro", "engineCc": 2000}, ""),
    *(({"transmissionType": text}, "") for text in ("7-Gang DSG", "Otomatik ", "手动")),
    *(({"fuelType": text}, "") for text in ("дизель", "Unleaded", "essence")),
    *(({"bodyType": text}, "") for text in ("Limousine", "Hatch Back", "Berline")),
    ({"powerBhp": 1}, "out_of_range powerBhp"),
    ({"year": 1930}, "out_of_range year"),
    ({"odometer": "26,000 miles"}, "a valid number (found '26,000 miles')"),
    ({"engineCc": "1.2L"}, "engineCc: Input should be a valid number (found '1.2L')"),
    ({"newPrice": "₹ 5,00,000"}, "newPrice: Input should be a valid number"),
    ({"odometer": 900000}, "implausible odometer"),
    ({"odometer": 5}, "implausible odometer"),
    ({"odometer": 550000, "year": 2012}, "out_of_range odometer"),
    ({"year": 2100}, "implausible year"),
    ({"listedOn": "2001-01-01"}, "implausible year; out_of_range listedOn"),
    ({"roadTax": 1e9}, ""),
    ({"ownership": "Second Owner"}, ""),
    ({"ownership": "3rd"}, ""),
    *(({name: None}, f"{name}: {REQUIRED}") for name in ("make", "model", "year", "odometer")),
    ({"make": "   "}, f"make: {REQUIRED}"),
    ({"odometer": "42,000 km"}, "odometer: Input should be a valid number (found '42,000 km')"),
    ({"odometer": "abc"}, "odometer: Input should be a valid number (found 'abc')"),
    ({"odometer": -1}, f"odometer: Input should be {AT_LEAST} 0 (found -1)"),
    ({"odometer": 2e7}, f"odometer: Input should be {AT_MOST} 10000000 (found 20000000)"),
    ({"year": 19}, f"year: Input should be {AT_LEAST} 1900 (found 19)"),
    ({"year": 20190}, f"year: Input should be {AT_MOST} 2100 (found 20190)"),
    ({"year": 2019.5}, "(found 2019.5)"),
    ({"year": "soon"}, "year: Input should be a valid integer (found 'soon')"),
    ({"engineCc": -100}, f"engineCc: Input should be {AT_LEAST} 0 (found -100)"),
    ({"ownership": -1}, f"ownership: Input should be {AT_LEAST} 0 (found -1)"),
    ({"ownership": 1.5}, "(found 1.5)"),
    ({"ownership": "many"}, "ownership: Input should be a valid integer (found 'many')"),
    ({"seats": 0}, f"seats: Input should be {AT_LEAST} 1 (found 0)"),
    ({"powerBhp": "83 bhp"}, "powerBhp: Input should be a valid number (found '83 bhp')"),
    ({"fitnessAge": 51}, f"fitnessAge: Input should be {AT_MOST} 50 (found 51)"),
    ({"roadTax": 1e10}, f"roadTax: Input should be {AT_MOST} 1000000000 (found 10000000000)"),
    ({"listedOn": "yesterday"}, "listedOn: Input should be a day"),
    ({"color": "x" * 201}, "color: String should have at most 200 characters"),
    ({"features": "x" * 201}, "features: Input should be at most 200 names of 200 characters"),
    ({"year": 19, "odometer": -1}, "; odometer: Input should be"),
    *(
        ({"odometer": odd}, f"odometer: Input should be a valid number (found {str(odd)!r})")
        for odd in ({"value": 5}, [42000], "1_000", "0x10", "inf", "4.2e", "-")
    ),
    ({"odometer": "  "}, f"odometer: {REQUIRED}"),
    ({"odometer": 10**30}, f"odometer: Input should be {AT_MOST} 10000000 (found 1e+30)"),
    *(
        ({"year": odd}, f"year: Input should be a valid integer (found {odd!r})")
        for odd in ("MMXIX", "2019-01-01", "2019年")
    ),
    ({"year": 2019.0}, ""),
    *(
        ({"listedOn": odd}, f"such as 2024-11-30 (found {odd!r})")
        for odd in ("2024-02-30", "45300", "0000-00-00", "2024-01-01Z", "next week")
    ),
    ({"make": "\xa0"}, f"make: {REQUIRED}"),
    *(({"make": text}, "") for text in ("MARUTI", "Maruti\t", "Maruti\ufeff")),
    *(({"make": text}, "unseen_make make") for text in ("=1+1", "Ma\x00ruti", "\u202eMaruti")),
    ({"variant": "x" * 10_000}, "variant: String should have at most 200 characters"),
    *(({"ownership": text}, "") for text in ("2", "1st owner")),
    ({"ownership": "Test Drive Car"}, "ownership: Input should be a valid integer"),
    ({"seats": "five"}, "seats: Input should be a valid number (found 'five')"),
    ({"fuelEconomy": 1e6}, f"fuelEconomy: Input should be {AT_MOST} 1000 (found 1000000)"),
    ({"features": "['Bluetooth', 'AlloyWheels']"}, ""),
    (dict.fromkeys(("make", "model", "year", "odometer")), f"make: {REQUIRED}; model: {REQUIRED}"),
]
LISTINGS = [CAR | change for change, _ in ODD]
TYPES: list[tuple[dict[str, Any], str]] = [
    *(({"odometer": flag}, f"a valid number (found {flag})") for flag in (True, False)),
    ({"year": True}, "year: Input should be a valid integer (found True)"),
    ({"ownership": True}, "ownership: Input should be a valid integer (found True)"),
    ({"odometer": math.inf}, "odometer: Input should be a finite number (found 'inf')"),
    ({"engineCc": -math.inf}, "engineCc: Input should be a finite number (found '-inf')"),
    ({"listedOn": 45300}, "such as 2024-11-30 (found 45300)"),
    ({"listedOn": True}, "such as 2024-11-30 (found True)"),
]
"""What JSON and tables can say, and CSV cannot."""


class Answer(NamedTuple):
    """What a door says of one listing."""

    prices: tuple[float, ...]
    warnings: str = ""
    problem: str = ""


def read_rows(rows: list[dict[str, Any]]) -> list[Answer]:
    """Read answers in the form of files: prices are empty where there is a problem."""
    answers = []
    for row in rows:
        problem = row["problem"]
        names = () if problem else ("predictedPrice", "priceLow", "priceHigh")
        prices = tuple(float(row[name]) for name in names)
        answers.append(Answer(prices, row["warnings"], problem))
    return answers


def as_csv() -> str:
    text = io.StringIO(newline="")
    names = [*dict.fromkeys(name for one in LISTINGS for name in one)]
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(LISTINGS)
    return text.getvalue()


def of_json(content: dict[str, Any]) -> Answer:
    if "detail" in content:
        return Answer((), problem=content["detail"])
    prices = (content[name] for name in ("predictedPrice", "priceLow", "priceHigh"))
    return Answer((*prices,), "; ".join(one["message"] for one in content["warnings"]))


@pytest.fixture(scope="module")
def folder(finished: Any) -> Path:
    return finished[0].model  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[TestClient]:
    with TestClient(create_app(served=ServedModel.of(PriceModel.load(folder), "1"))) as client:
        yield client


@pytest.fixture(scope="module")
def expected(client: TestClient) -> list[Answer]:
    """What ``POST /predict`` answers to each listing."""
    return [of_json(client.post("/predict", json=one).json()) for one in LISTINGS]


@pytest.mark.parametrize("place", range(len(ODD)), ids=[str(change)[:60] for change, _ in ODD])
def test_the_service_prices_warns_or_refuses(
    place: int, client: TestClient, expected: list[Answer]
) -> None:
    told = ODD[place][1]
    if ":" in told or "found" in told:
        assert told in expected[place].problem
        return
    warnings = client.post("/predict", json=LISTINGS[place]).json()["warnings"]
    assert "; ".join(f"{one['kind']} {one['field']}" for one in warnings) == told


def batch_as_json(client: TestClient, folder: Path, tmp_path: Path) -> list[Answer]:
    content = json.dumps({"listings": LISTINGS})  # with Infinity, which httpx refuses
    rows = client.post("/predict/batch", content=content).json()["rows"]
    return [of_json(row["price"] or row["problem"]) for row in rows]


def batch_as_csv(client: TestClient, folder: Path, tmp_path: Path) -> list[Answer]:
    headers = {"Content-Type": "text/csv", "Accept": "text/csv"}
    answer = client.post("/predict/batch", content=as_csv().encode(), headers=headers)
    return read_rows([*csv.DictReader(io.StringIO(answer.text, newline=""))])


def file_priced(folder: Path, source: Path) -> list[Answer]:
    target = source.with_name("out.csv")
    settings = IngestSettings(max_unreadable=1)
    predict(PriceModel.load(folder), settings, str(source), target, 0.9, lambda _: None)
    with target.open(encoding="utf-8", newline="") as file:
        return read_rows([*csv.DictReader(file)])


def file_of_csv(client: TestClient, folder: Path, tmp_path: Path) -> list[Answer]:
    (tmp_path / "cars.csv").write_text(as_csv(), encoding="utf-8")
    return file_priced(folder, tmp_path / "cars.csv")


def file_of_json_lines(client: TestClient, folder: Path, tmp_path: Path) -> list[Answer]:
    lines = "".join(json.dumps(one) + "\n" for one in LISTINGS)
    (tmp_path / "cars.jsonl").write_text(lines, encoding="utf-8")
    return file_priced(folder, tmp_path / "cars.jsonl")


def estimator(client: TestClient, folder: Path, tmp_path: Path) -> list[Answer]:
    found = PriceRegressor.load(folder).predict_interval(pd.DataFrame(LISTINGS))
    return read_rows(found.to_dict("records"))


def pyfunc(client: TestClient, folder: Path, tmp_path: Path) -> list[Answer]:
    served, answers = PricePyfunc(PriceModel.load(folder)), []
    for listing in LISTINGS:
        try:
            (row,) = served.predict(pd.DataFrame([listing])).to_dict("records")
            answers.append(of_json(row))
        except ValueError as error:
            answers.append(Answer((), problem=str(error).replace("rows[0].", "")))
    return answers


@pytest.mark.parametrize(
    "door", [batch_as_json, batch_as_csv, file_of_csv, file_of_json_lines, estimator, pyfunc]
)
@pytest.mark.filterwarnings("ignore::carprice.errors.CarpriceWarning")
def test_every_door_says_what_the_service_says(
    door: Callable[..., list[Answer]],
    client: TestClient,
    folder: Path,
    tmp_path: Path,
    expected: list[Answer],
) -> None:
    found = door(client, folder, tmp_path)
    assert len(found) == len(expected)
    apart = {
        str(ODD[place][0])[:80]: (here, there)
        for place, (here, there) in enumerate(zip(found, expected, strict=True))
        if here != there
    }
    assert apart == {}


@pytest.mark.parametrize("change", [change for change, _ in TYPES], ids=str)
@pytest.mark.filterwarnings("ignore::carprice.errors.CarpriceWarning")
def test_a_value_of_another_type_is_told_alike(
    change: dict[str, Any],
    client: TestClient,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Beside a car that is in order, for what is read column by column."""
    told = next(told for one, told in TYPES if one is change)
    monkeypatch.setitem(globals(), "LISTINGS", [CAR, CAR | change])
    doors = (batch_as_json, file_of_json_lines, estimator, pyfunc)
    answers = [door(client, folder, tmp_path) for door in doors]
    assert all(good.prices and told in bad.problem for good, bad in answers)
    assert len({bad for _, bad in answers}) == 1
    content = json.dumps(CAR | change)
    assert of_json(client.post("/predict", content=content).json()) == answers[0][1]


def test_the_model_itself_refuses_numbers_that_no_listing_may_have(folder: Path) -> None:
    model = PriceModel.load(folder)
    with pytest.raises(InputError, match=r"listing 1: year: .* \(found 19\)"):
        model.predict({"make": ["Kia"] * 2, "model": ["Rio"] * 2, "year": [2019, 19]})
