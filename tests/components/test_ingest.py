import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import train_test_split

from carprice.arrays import quiet
from carprice.components.ingest import data_card, ingest
from carprice.components.workspace import Workspace, read_json
from carprice.errors import InputError
from carprice.listings.believed import BELIEVED, PRICE_TRUST, believed
from carprice.listings.market import Market
from carprice.settings import IngestSettings

ROWS = 300


def cars(rows: int = ROWS) -> pd.DataFrame:
    """Return good listings; every odometer occurs once, so that it names its row."""
    rng = np.random.default_rng(0)
    year = rng.integers(2012, 2024, rows)
    price = np.round(np.exp(12 + 0.1 * (year - 2012) + rng.normal(0, 0.5, rows)), -3)
    return pd.DataFrame(
        {
            "make": rng.choice(["Kia", "Tata"], rows),
            "model": rng.choice(["Rio", "Nexon"], rows),
            "variant": rng.choice(["VXI", "ZXI (O)"], rows),
            "year": year,
            "odometer": 20_000 + rng.permutation(rows),
            "color": rng.choice(["Red", None], rows),
            "price": price,
        }
    )


def changed(frame: pd.DataFrame, row: int, **values: Any) -> pd.DataFrame:
    frame = frame.astype(object)
    for name, value in values.items():
        frame.loc[row, name] = value
    return frame


def run(folder: Path, frame: pd.DataFrame, **given: Any) -> tuple[dict[str, Any], Workspace]:
    source = folder / "cars.csv"
    frame.to_csv(source, index=False)
    settings = IngestSettings.model_validate({"source": str(source), **given})
    workspace = Workspace(folder / "work")
    return ingest(settings, workspace, quiet), workspace


def digests(workspace: Workspace) -> dict[str, str]:
    return {
        path.relative_to(workspace.root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(workspace.root.rglob("*"))
        if path.is_file()
    }


def dirty() -> pd.DataFrame:
    frame = changed(cars(), 0, price=0)
    frame = changed(frame, 1, make=None)
    frame = changed(frame, 2, year=2060)
    frame = changed(frame, 3, odometer=900_000)
    frame = changed(frame, 4, make=" Kia ")
    frame = changed(frame, 5, odometer="n.a.")
    return pd.concat([frame, frame.iloc[[10, 11, 10]]], ignore_index=True)


def test_every_row_and_value_lost_is_counted(tmp_path: Path) -> None:
    report, workspace = run(tmp_path, dirty())
    assert report["rows_read"] == ROWS + 3
    assert report["rejected"] == {
        "exact duplicate": 3,
        "price below {:g}".format(report["price_range"][0]): 1,
        "make missing or unreadable": 1,
        "year after 2024": 1,
    }
    assert report["repaired"] == {
        "stray spaces removed from make": 1,
        "odometer unreadable, made missing": 1,
        "odometer impossible, made missing": 1,
    }
    assert report["rows_kept"] == report["rows_read"] - sum(report["rejected"].values())
    assert report["rows_kept"] == report["rows_train"] + report["rows_test"]
    train, test = (
        pd.read_parquet(path) for path in (workspace.train_listings, workspace.test_listings)
    )
    assert (len(train), len(test)) == (report["rows_train"], report["rows_test"])
    kept = pd.concat([train, test])
    assert report["missing"]["odometer"] == kept["odometer"].isna().sum() == 2
    assert report["missing"]["color"] == kept["color"].isna().sum() > 0
    assert set(kept["make"]) == {"Kia", "Tata"}
    assert read_json(workspace.report, "ingest") == json.loads(json.dumps(report))


def test_a_random_split_has_the_rows_of_scikit_learns(tmp_path: Path) -> None:
    frame = cars()
    frame = pd.concat([frame, frame.iloc[::20]]).sample(frac=1, random_state=1)
    _, workspace = run(tmp_path, frame)
    train, test = train_test_split(frame.drop_duplicates(), test_size=0.2, random_state=42)
    for path, expected in ((workspace.train_listings, train), (workspace.test_listings, test)):
        assert pd.read_parquet(path)["odometer"].tolist() == expected["odometer"].tolist()


def test_a_time_split_tests_on_the_newest(tmp_path: Path) -> None:
    days = pd.date_range("2023-01-01", periods=ROWS).strftime("%Y-%m-%d")
    frame = cars().assign(listedOn=np.random.default_rng(0).permutation(days))
    report, workspace = run(tmp_path, frame, split={"method": "time", "test_size": 0.25})
    train = pd.read_parquet(workspace.train_listings)["listed_on"]
    test = pd.read_parquet(workspace.test_listings)["listed_on"]
    assert (len(train), len(test)) == (225, 75)
    assert train.max() < test.min()
    assert report["valuation_date"] == str(test.max().date()) == days[-1]


@pytest.mark.parametrize(
    ("frame", "given", "message"),
    [
        (cars(), {"split": {"method": "time"}}, "but 300 listings have no date; map .*listedOn"),
        (cars(49), {}, "leaves 49 listings to learn from, fewer than 50 .*none.*give more rows"),
        (cars(), {"price_range": [1, 2]}, r"leaves 0 listings .*300 price above 2.*price_range"),
        (
            cars().assign(odometer="unknown"),
            {},
            "odometer is .unknown. in row 0, and cannot be read .*columns.odometer another column",
        ),
        (cars().assign(price="ask"), {}, "price is 'ask' in row 0"),
        (cars().assign(year=250_000), {}, r"the median year is 250000, outside of 1900 to 2100"),
        (cars().drop(columns="year"), {}, r"no column for year .*ingest\.columns"),
        (cars(0), {}, "has no rows"),
        (cars(), {"columns": {"color": "Farbe"}}, "no column 'Farbe'"),
    ],
    ids=["no date", "few", "prices", "text", "price", "years", "column", "empty", "map"],
)
def test_bad_input_is_one_line_and_leaves_no_file_or_the_earlier_ones(
    frame: pd.DataFrame, given: dict[str, Any], message: str, tmp_path: Path
) -> None:
    (tmp_path / "first").mkdir()
    with pytest.raises(InputError, match=message):
        run(tmp_path / "first", frame, **given)
    assert digests(Workspace(tmp_path / "first" / "work")) == {}
    _, workspace = run(tmp_path, cars())
    before = digests(workspace)
    with pytest.raises(InputError, match=message) as caught:
        run(tmp_path, frame, **given)
    assert "\n" not in str(caught.value)
    assert digests(workspace) == before


@pytest.mark.parametrize(("share", "is_error"), [(0.05, False), (0.055, True)])
def test_a_few_unreadable_numbers_are_put_up_with(
    share: float, is_error: bool, tmp_path: Path
) -> None:
    frame = cars().astype({"odometer": object})
    frame.loc[: round(share * ROWS) - 1, "odometer"] = "n.a."
    if is_error:
        with pytest.raises(InputError, match=r"odometer is 'n\.a\.'"):
            run(tmp_path, frame)
    else:
        report, _ = run(tmp_path, frame)
        assert report["repaired"] == {"odometer unreadable, made missing": round(share * ROWS)}
        assert report["rows_kept"] == ROWS


def test_ignored_columns_are_named_and_judged(tmp_path: Path) -> None:
    frame = cars()
    frame = frame.assign(avgEmi=frame["price"] // 60, code=frame["price"] * 2, note="fine")
    report, _ = run(tmp_path, frame)
    assert {one["name"]: one["looks_computed_from_price"] for one in report["ignored_columns"]} == {
        "avgEmi": True,
        "code": True,
        "note": False,
    }


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ["INR", "km", "2023-12-31"]),
        (
            {"units": {"currency": "GBP", "distance": "miles"}, "valuation_date": "2024-02-01"},
            ["GBP", "miles", "2024-02-01"],
        ),
    ],
)
def test_the_market_says_what_the_numbers_mean(
    given: dict[str, Any], expected: list[str], tmp_path: Path
) -> None:
    report, workspace = run(tmp_path, cars(), **given)
    market = read_json(workspace.market, "ingest")
    assert [market[name] for name in ("currency", "distance_unit", "valuation_date")] == expected
    assert market["data_digest"] == report["data_digest"]


def test_the_decimal_signs_of_texts_are_kept_with_the_market(tmp_path: Path) -> None:
    frame = cars().assign(odometer=[f"{n:,}.5 km" for n in range(20_000, 20_000 + ROWS)])
    rule = {"odometer": {"from": "odometer", "number": True}}
    report, workspace = run(tmp_path, frame, columns=rule)
    market = Market.from_json(read_json(workspace.market, "ingest"))
    assert market.decimals == report["decimals"] == {"odometer": "."}
    without = {name: value for name, value in market.to_json().items() if name != "decimals"}
    assert Market.from_json(without) == replace(market, decimals={})  # a folder of before
    assert "decimals" not in run(tmp_path, cars())[0]


def test_the_same_rows_give_the_same_bytes_and_others_another_digest(tmp_path: Path) -> None:
    first, workspace = run(tmp_path, cars())
    before = digests(workspace)
    run(tmp_path, cars())
    assert digests(workspace) == before
    other, _ = run(tmp_path, changed(cars(), 0, color="Blue"))
    assert other["data_digest"] != first["data_digest"]


def test_several_files_are_read_as_one(tmp_path: Path) -> None:
    frame = cars()
    for part in range(2):
        frame.iloc[part::2].to_csv(tmp_path / f"part{part}.csv", index=False)
    settings = IngestSettings(source=str(tmp_path / "part*.csv"))
    report = ingest(settings, Workspace(tmp_path / "work"), quiet)
    assert report["rows_read"] == report["rows_kept"] == ROWS


def test_rows_that_hold_lists_are_compared_too(tmp_path: Path) -> None:
    rows = cars().drop(columns="color").to_dict("records")
    rows = [{**row, "features": ["Tpms", "RearAc"][: place % 3]} for place, row in enumerate(rows)]
    path = tmp_path / "cars.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, rows[2]]))
    workspace = Workspace(tmp_path / "work")
    report = ingest(IngestSettings(source=str(path)), workspace, quiet)
    assert report["rejected"] == {"exact duplicate": 1}
    train = pd.read_parquet(workspace.train_listings)
    assert set(train["features"].dropna()) == {"", "Tpms", "RearAc|Tpms"}


def test_the_data_card_tells_people_what_was_done(tmp_path: Path) -> None:
    report, workspace = run(tmp_path, dirty().assign(avgEmi=1))
    card = workspace.data_card.read_text(encoding="utf-8")
    assert card == data_card(report)
    assert card.startswith("# Data card\n")
    for line in (
        f"297 of 303 rows of `{report['source']}` were kept: 237 to learn from, 60 to test on",
        "| exact duplicate | 3 (1.0 %) |",
        "| odometer impossible, made missing | 1 (0.3 %) |",
        "| avgEmi | its name says 'emi' |",
        "Prices are in INR, distances in km; cars are valued for 2023-12-31",
    ):
        assert line in card
    clean, _ = run(tmp_path, cars())
    for name in ("rejected rows", "repaired values", "ignored column"):
        assert f"No {name}." in data_card(clean)


def with_junk() -> pd.DataFrame:
    frame = cars()
    frame["price"] = frame["price"].astype(float)
    frame.loc[[3, 60, 110, 160], "price"] = 1.0
    frame.loc[[20, 80, 140], "price"] = 99_999_999.0
    return changed(frame, 200, price=frame["price"][200] / 60)


def test_clean_prices_are_all_believed(tmp_path: Path) -> None:
    report, workspace = run(tmp_path, cars())
    assert report["junk"]["rows"] == 0
    assert report["junk"]["told"] == []
    assert "All prices are taken for cars' prices." in data_card(report)
    train = pd.read_parquet(workspace.train_listings)
    assert PRICE_TRUST not in train
    assert len(believed(train)) == report["rows_train"]


def test_prices_that_are_no_cars_stay_and_are_told_with_what_such_a_car_costs(
    tmp_path: Path,
) -> None:
    report, workspace = run(tmp_path, with_junk(), price_range=(0.5, 1e9))
    junk = report["junk"]
    assert report["rows_kept"] == ROWS
    assert (junk["rows"], junk["of"], junk["below"]) == (8, ROWS, 5)
    assert junk["often"] == [[1.0, 4], [99_999_999.0, 3]]
    assert {one["price"] for one in junk["examples"]} >= {1.0, 99_999_999.0}
    assert all(1e5 < one["expected"] < 2e6 for one in junk["examples"])
    card = data_card(report)
    assert "8 of 300 prices (2.7 %) look like no car's price: 5 far below and 3 far above" in card
    assert "; such a car costs about " in card
    both = [pd.read_parquet(path) for path in (workspace.train_listings, workspace.test_listings)]
    assert len(both[1]) - len(believed(both[1])) == junk["rows_test"]
    odd = pd.concat(both)[PRICE_TRUST] < BELIEVED
    assert set(pd.concat(both)["price"][odd]) >= {1.0, 99_999_999.0}


def test_all_prices_may_be_believed_and_the_digest_tells_which_are(tmp_path: Path) -> None:
    frame, given = with_junk(), {"price_range": (0.5, 1e9)}
    discounted, _ = run(tmp_path, frame, **given)
    report, workspace = run(tmp_path, frame, junk="believe", **given)
    assert pd.read_parquet(workspace.train_listings)[PRICE_TRUST].tolist() == [1.0] * 240
    assert report["junk"]["rows"] == 8
    assert "they count like all others" in data_card(report)
    assert report["data_digest"] != discounted["data_digest"]


def test_progress_names_the_source_without_its_secrets(tmp_path: Path) -> None:
    told: list[str] = []
    settings = IngestSettings(source="postgresql://ann:s3cret@nowhere.invalid/cars", query="x")
    with pytest.raises(InputError) as caught:
        ingest(settings, Workspace(tmp_path), told.append)
    assert "nowhere.invalid" in told[0]
    assert "s3cret" not in told[0] + str(caught.value)
