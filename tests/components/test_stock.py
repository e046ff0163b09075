import datetime
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pandas as pd
import pytest

from carprice.appraisal.comparables import comparables_of
from carprice.appraisal.deal import deal_of
from carprice.appraisal.reasons import in_cents
from carprice.appraisal.stock_summary import price_band
from carprice.arrays import quiet
from carprice.components import listings_to_price, stock_reading
from carprice.components import stock as component
from carprice.components.predict import predict
from carprice.components.stock import Stock, check_target
from carprice.errors import InputError
from carprice.listings.features import listings_of
from carprice.listings.frames import as_columns
from carprice.model import PriceModel
from carprice.settings import IngestSettings

REASONS = ["reason1", "reason1Amount", "reason2", "reason2Amount", "reason3", "reason3Amount"]
DEAL = ["deal", "dealReason", "percentile"]
RANK = "comparablesRank"
ADDED = ["predictedPrice", "priceLow", "priceHigh", "priceToMarket", *DEAL, RANK, *REASONS]
HISTORY = ["firstSeen", "daysListed", "priceDrops", "priceDropTotal"]
TOLD = ["warnings", "problem"]
CARS = pd.DataFrame(
    {
        "stockNo": ["a", "b", "c", "d", "e"],
        "make": ["Maruti", None, "Maruti", "Hyundai", "Hyundai"],
        "model": ["Swift", "Swift", "Swift", "i20", "i20"],
        "year": [2019, 2019, 2016, 2014, 2015],
        "odometer": [42000, 42000, 52000, 10000, 90000],
        "askingPrice": ["500000", "400000", "0", "soon", None],
        "note": [None, "=1+1", None, "x", None],
    }
)
# Three snapshots whose history is worked by hand in tests/appraisal/test_snapshots.py.
MAKES = {"a": "Maruti", "b": "Hyundai", "c": "Maruti", "d": "Maruti", "e": "Hyundai", "f": "Maruti"}
SNAPSHOTS: dict[str, dict[str, float | None]] = {
    "2025-06-01": {"a": 500_000, "b": 300_000, "c": 400_000, "d": 250_000},
    "2025-06-16": {"a": 480_000, "b": 310_000, "c": None, "e": 200_000},
    "2025-07-01": {"a": 470_000, "c": 390_000, "e": 200_000, "f": None},
}


@pytest.fixture(scope="module")
def model(finished: Any) -> PriceModel:
    return PriceModel.load(finished[0].model)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    CARS.to_csv(tmp_path / "cars.csv", index=False)
    return tmp_path / "cars.csv"


def snapshot(day: str) -> pd.DataFrame:
    cars = SNAPSHOTS[day]
    return pd.DataFrame(
        {
            "stockNo": [*cars],
            "make": [MAKES[car] for car in cars],
            "model": ["Swift" if MAKES[car] == "Maruti" else "i20" for car in cars],
            "year": 2018,
            "odometer": [40_000 + 1000 * ord(car) for car in cars],
            "price": [*cars.values()],
        }
    )


@pytest.fixture(params=["files", "one file"])
def snapshots(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    """The same snapshots as a file for each, and as one file with a column of days."""
    shop = tmp_path / "shop"
    shop.mkdir()
    if request.param == "files":
        for day in reversed(SNAPSHOTS):
            snapshot(day).to_csv(shop / f"cars_{day}.csv", index=False)
        return [str(shop / "*.csv")]
    every = pd.concat(snapshot(day).assign(listedOn=day) for day in SNAPSHOTS)
    every.to_csv(shop / "all.csv", index=False)
    return [str(shop / "all.csv")]


def told(
    model: PriceModel,
    target: Path,
    *sources: object,
    car_id: str | None = None,
    **settings: Any,
) -> Stock:
    read, named = IngestSettings.model_validate(settings), [*map(str, sources)]
    return component.stock(model, read, named, target, 0.9, quiet, car_id)


def test_every_row_keeps_its_place_and_columns_and_has_the_price_of_predict(
    model: PriceModel, source: Path, tmp_path: Path
) -> None:
    done = told(model, tmp_path / "out.csv", source)
    out = pd.read_csv(tmp_path / "out.csv")
    assert list(out.columns) == [*CARS.columns, *ADDED, *TOLD]
    assert out["stockNo"].tolist() == CARS["stockNo"].tolist()
    assert (done.rows, done.with_price, done.gone, done.supply) == (5, 2, 0, None)
    predict(model, IngestSettings(), str(source), tmp_path / "beside.csv", 0.9, quiet)
    beside = pd.read_csv(tmp_path / "beside.csv")
    for name in ("predictedPrice", "priceLow", "priceHigh", "problem"):
        pd.testing.assert_series_equal(out[name][[0, 1, 4]], beside[name][[0, 1, 4]])
    assert out["priceToMarket"].isna().tolist() == [False, True, True, True, True]
    assert out["priceToMarket"][0] == round(500_000 / out["predictedPrice"][0], 4)
    assert out["problem"][1] == "make: this field is required"
    assert out["problem"].tolist()[2:4] == [
        "askingPrice: the price asked must be above 0 and at most 1,000,000,000,000 (found 0)",
        "askingPrice: the price asked cannot be read (found 'soon')",
    ]
    assert out[[*ADDED]].iloc[1:4].isna().all(axis=None)
    assert out["note"][1] == "'=1+1"


def test_the_reasons_are_the_three_largest_of_the_explanation(
    model: PriceModel, tmp_path: Path
) -> None:
    given = {"sample": {"rows": 100, "seed": 3}}
    told(model, tmp_path / "out.parquet", "sample", **given)
    out = pd.read_parquet(tmp_path / "out.parquet")
    settings = IngestSettings.model_validate(given)
    (part,) = stock_reading.read_stock(model, settings, ["sample"], None, quiet).parts
    good = part.problems == ""
    listings = listings_of(as_columns(part.mapped.frame[good]))
    appraised = model.pricer.appraise_all(listings)
    for (_, row), (_, one) in zip(out[good.to_numpy()].iterrows(), appraised, strict=True):
        reasons = in_cents(one, row["predictedPrice"]).reasons  # as an appraisal tells them
        largest = sorted(reasons, key=lambda reason: -abs(reason.amount))[:3]
        for number, reason in enumerate(largest, start=1):
            assert row[f"reason{number}"] == reason.name
            assert row[f"reason{number}Amount"] == reason.amount
    assert good.sum() > 90


def test_deal_and_rank_are_those_of_an_appraisal(model: PriceModel, tmp_path: Path) -> None:
    given = {"sample": {"rows": 100, "seed": 5}}
    told(model, tmp_path / "out.parquet", "sample", **given)
    out = pd.read_parquet(tmp_path / "out.parquet").astype(object)
    out = out.where(out.notna(), None)
    settings = IngestSettings.model_validate(given)
    (part,) = stock_reading.read_stock(model, settings, ["sample"], None, quiet).parts
    frame = part.mapped.frame
    for at, listing in zip(frame.index, listings_of(as_columns(frame)), strict=True):
        row, price = out.loc[at], part.asking[at]
        if row["problem"]:
            assert row[[*DEAL, RANK]].isna().all()
            continue
        deal = deal_of(model, listing, price)
        assert (row["deal"], row["dealReason"]) == (deal.label, deal.reason and deal.reason.message)
        assert row["percentile"] == deal.percentile or deal.percentile is None
        adjusted = [one.adjusted_price for one in comparables_of(model, listing).listings]
        place = 1 + sum(one < price for one in adjusted)
        rank = f"{place} of {len(adjusted) + 1}" if len(adjusted) >= 3 else None
        assert row[RANK] == rank
    assert out[RANK].notna().sum() > 30
    assert out["deal"].eq("fair").sum() > 30


def test_cars_that_the_model_learned_from_are_not_judged(
    finished: Any, model: PriceModel, tmp_path: Path
) -> None:
    cars = pd.read_parquet(finished[0].train_listings).head(20)
    cars.drop(columns="features").to_parquet(tmp_path / "cars.parquet")
    told(model, tmp_path / "out.csv", tmp_path / "cars.parquet")
    out = pd.read_csv(tmp_path / "out.csv")
    asked = out["problem"].isna()
    assert asked.sum() > 15
    assert {*out["deal"][asked]} == {"none"}
    assert out["percentile"].isna().all()
    assert out["dealReason"][asked].str.startswith("the model learned from this car").all()
    assert out["priceToMarket"][asked].notna().all()


@pytest.mark.parametrize("ending", [".xlsx", ".csv", ".parquet"])
def test_three_snapshots_tell_what_was_worked_out_by_hand(
    ending: str, model: PriceModel, snapshots: list[str], tmp_path: Path
) -> None:
    target = tmp_path / "new" / f"out{ending}"
    done = told(model, target, *snapshots, car_id="stockNo")
    tables = written(target)
    stock, gone, summary = tables["stock"], tables["gone"], tables["summary"]
    history = stock.set_index("stockNo")[HISTORY]
    assert history.astype(object).T.to_dict("list") == {
        "a": [datetime.date(2025, 6, 1), 30, 2, 30_000],
        "c": [datetime.date(2025, 6, 1), 30, 1, 10_000],
        "e": [datetime.date(2025, 6, 16), 15, 0, 0],
        "f": [datetime.date(2025, 7, 1), 0, 0, 0],
    }
    last = gone.assign(price=gone["price"].astype(float)).set_index("stockNo")
    assert last[["lastSeen", "daysListed", "price"]].astype(object).T.to_dict("list") == {
        "d": [datetime.date(2025, 6, 1), 0, 250_000],
        "b": [datetime.date(2025, 6, 16), 15, 310_000],
    }
    assert gone["predictedPrice"].notna().all()
    assert "sold" not in " ".join([*stock.columns, *gone.columns, *summary.columns]).lower()
    assert (done.rows, done.gone) == (4, 2)
    assert done.supply is not None
    assert done.supply.days == 60
    rows = {(one.by, one.group): one for one in summary.fillna({"group": ""}).itertuples()}
    everything = rows["all", ""]
    assert (everything.cars, everything.asked, everything.gone) == (4, 3, 2)
    assert (everything.supplyDays, everything.medianDaysListed) == (60, 22.5)
    # 3 of Maruti there and d gone, 1 of Hyundai there and b gone, in 30 days
    assert rows["make", "Maruti"].supplyDays == 90
    assert rows["make", "Hyundai"].supplyDays == 30
    assert everything.medianPriceToMarket == round(stock["priceToMarket"].median(), 4)
    assert done.files == tuple(sorted(done.files, key=lambda path: path != target))
    assert {path.name for path in target.parent.iterdir()} == {path.name for path in done.files}


def written(target: Path) -> dict[str, pd.DataFrame]:
    """Read what was written back, with days as days."""
    names = ("stock", "summary", "gone")
    if target.suffix == ".xlsx":
        assert openpyxl.load_workbook(target).sheetnames == [*names]
        tables = pd.read_excel(target, sheet_name=None)
    else:
        read = pd.read_csv if target.suffix == ".csv" else pd.read_parquet
        paths = {name: target.with_name(f"out-{name}{target.suffix}") for name in names[1:]}
        tables = {name: read(path) for name, path in (paths | {"stock": target}).items()}
    for table in tables.values():
        for name in {"firstSeen", "lastSeen"} & {*table.columns}:
            table[name] = pd.to_datetime(table[name]).dt.date
    return tables


def test_a_car_is_priced_for_the_day_of_its_snapshot(model: PriceModel, tmp_path: Path) -> None:
    car = snapshot("2025-06-01").iloc[:1].assign(listedOn="2024-01-15")
    for name in ("shop.csv", "shop-20250601.csv"):
        car.to_csv(tmp_path / name, index=False)
        told(model, tmp_path / f"priced.{name}", tmp_path / name)
    same_day = car.assign(listedOn="2025-06-01")
    same_day.to_csv(tmp_path / "day.csv", index=False)
    told(model, tmp_path / "priced.day.csv", tmp_path / "day.csv")
    own, named, day = (
        pd.read_csv(tmp_path / f"priced.{name}")["predictedPrice"][0]
        for name in ("shop.csv", "shop-20250601.csv", "day.csv")
    )
    assert named == day
    assert named < own


def test_a_listing_is_as_old_as_it_says_where_snapshots_begin_later(
    model: PriceModel, tmp_path: Path
) -> None:
    for day in SNAPSHOTS:
        snapshot(day).assign(listedOn="2025-05-22").to_csv(tmp_path / f"{day}.csv", index=False)
    told(model, tmp_path / "out.xlsx", tmp_path / "2025-*.csv", car_id="stockNo")
    stock = written(tmp_path / "out.xlsx")["stock"]
    assert stock["daysListed"].tolist() == [40, 40, 40, 40]


def test_cars_that_are_listed_once_are_one_stock_whatever_their_days(
    model: PriceModel, tmp_path: Path
) -> None:
    cars = snapshot("2025-06-01").assign(listedOn=["2025-05-01", "2025-06-01", None, "2024-12-31"])
    cars.to_csv(tmp_path / "cars.csv", index=False)
    done = told(model, tmp_path / "out.csv", tmp_path / "cars.csv", car_id="stockNo")
    assert (done.rows, done.gone, done.supply) == (4, 0, None)
    assert [path.name for path in done.files] == ["out.csv", "out-summary.csv"]
    out = pd.read_csv(tmp_path / "out.csv")
    assert out["daysListed"].fillna(-1).tolist() == [31, 0, -1, 152]
    assert done.summary["medianDaysListed"][0] == 31
    assert "supplyDays" not in done.summary
    cars.to_csv(tmp_path / "cars-2025-05-31.csv", index=False)
    told(model, tmp_path / "out.csv", tmp_path / "cars-2025-05-31.csv", car_id="stockNo")
    out = pd.read_csv(tmp_path / "out.csv")
    assert out["daysListed"].fillna(-1).tolist() == [30, -1, -1, 151]


def test_a_few_cars_that_are_listed_again_make_no_snapshots(
    model: PriceModel, tmp_path: Path
) -> None:
    one = snapshot("2025-06-01").iloc[[0]]
    days = pd.date_range("2025-03-01", periods=30).strftime("%Y-%m-%d")
    cars = [one.assign(listedOn=day, stockNo=f"n{number}") for number, day in enumerate(days)]
    for day, stands in (("2025-04-15", 31), ("2025-03-30", 31)):
        again = one.assign(listedOn=day, stockNo="n28")  # n28 is of 29 March
        pd.concat([*cars, again]).to_csv(tmp_path / "cars.csv", index=False)
        done = told(model, tmp_path / "out.csv", tmp_path / "cars.csv", car_id="stockNo")
        assert (done.rows, done.gone, done.supply) == (stands, 0, None)
        assert done.notes[-1].startswith("of the cars 1 stand on several days of listedOn")
    # All but one listed on one day, one of them again: no snapshot of a single car.
    cars = [one.assign(listedOn="2025-03-01", stockNo=f"n{number}") for number in range(30)]
    pd.concat([*cars, again]).to_csv(tmp_path / "cars.csv", index=False)
    assert told(model, tmp_path / "out.csv", tmp_path / "cars.csv", car_id="stockNo").gone == 0


def test_a_last_day_of_a_few_cars_is_no_snapshot_after_others(
    model: PriceModel, tmp_path: Path
) -> None:
    every = [snapshot(day).assign(listedOn=day) for day in SNAPSHOTS]
    every += [every[-1].iloc[:1].assign(listedOn="2025-07-02")]
    pd.concat(every).to_csv(tmp_path / "cars.csv", index=False)
    done = told(model, tmp_path / "out.csv", tmp_path / "cars.csv", car_id="stockNo")
    assert (done.rows, done.gone) == (13, 0)


def test_own_columns_are_kept_but_for_those_that_are_written(
    model: PriceModel, tmp_path: Path
) -> None:
    own = {"daysListed": 7, "firstSeen": "May", "lastSeen": "June", "priceDrops": "none"}
    own |= {"comparablesRank": "A", "problem": "rust"}
    cars = snapshot("2025-06-01").assign(**own)
    cars.to_csv(tmp_path / "cars.csv", index=False)
    told(model, tmp_path / "out.csv", tmp_path / "cars.csv")
    out = pd.read_csv(tmp_path / "out.csv")
    kept = [name for name in own if name not in ("problem", RANK)]
    pd.testing.assert_frame_equal(out[kept], cars[kept])
    assert out["problem"].isna().all()
    for day in SNAPSHOTS:
        snapshot(day).assign(**own).to_csv(tmp_path / f"{day}.csv", index=False)
    told(model, tmp_path / "out.csv", tmp_path / "2025-*.csv", car_id="stockNo")
    out = pd.read_csv(tmp_path / "out.csv")
    assert out["daysListed"].tolist() == [30, 30, 15, 0]
    assert out[RANK].notna().tolist() == [True, True, True, False]
    assert "lastSeen" not in out


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_what_is_gone_of_an_earlier_run_is_kept_and_told(
    ending: str, model: PriceModel, source: Path, tmp_path: Path
) -> None:
    (tmp_path / f"x-gone{ending}").write_text("mine")
    CARS.drop(columns="askingPrice").to_csv(source, index=False)
    done = told(model, tmp_path / f"x{ending}", source)
    assert done.notes[-1].startswith(f"{tmp_path / 'x-gone'}{ending} is none of this stock")
    assert (tmp_path / f"x-gone{ending}").read_text() == "mine"
    assert told(model, tmp_path / "x.xlsx", source).notes == done.notes[:-1]


def test_rows_that_cannot_be_priced_stay_in_the_newest_snapshot(
    model: PriceModel, tmp_path: Path
) -> None:
    for day in SNAPSHOTS:
        cars = snapshot(day)
        cars.loc[0, "make"] = None
        cars.to_csv(tmp_path / f"{day}.csv", index=False)
    done = told(
        model,
        tmp_path / "out.csv",
        tmp_path / "2025-*.csv",
        car_id="stockNo",
    )
    out = pd.read_csv(tmp_path / "out.csv")
    assert out["stockNo"].tolist() == ["a", "c", "e", "f"]
    assert out["problem"].fillna("").tolist() == ["make: this field is required", "", "", ""]
    assert out["priceDrops"].tolist() == [2, 1, 0, 0]
    assert (done.rows, done.with_price) == (4, 3)


def test_what_was_told_before_is_replaced(model: PriceModel, source: Path, tmp_path: Path) -> None:
    told(model, tmp_path / "one.csv", source)
    told(model, tmp_path / "two.csv", tmp_path / "one.csv")
    one, two = ((tmp_path / name).read_text() for name in ("one.csv", "two.csv"))
    assert two == one


def test_a_file_without_prices_says_so_and_is_priced(
    model: PriceModel, source: Path, tmp_path: Path
) -> None:
    CARS.drop(columns="askingPrice").to_csv(source, index=False)
    done = told(model, tmp_path / "out.csv", source)
    assert not {RANK, "priceToMarket", *DEAL} & {*pd.read_csv(tmp_path / "out.csv").columns}
    assert done.with_price == 4
    assert done.notes[-1].startswith(
        "nothing is asked for these cars: there is no column price or listingPrice or"
    )
    assert done.summary["asked"].tolist() == [0] * len(done.summary)


def shop(folder: Path, *names: str, **columns: Any) -> None:
    for name in names:
        snapshot("2025-06-01").assign(**columns).to_csv(folder / name, index=False)


@pytest.mark.parametrize(
    ("files", "columns", "car_id", "message"),
    [
        (
            ["a.csv"],
            {"make": None},
            "vin",
            r"a.csv has no column 'vin', which --id names; .*stockNo",
        ),
        (["a1.csv", "a2.csv"], {}, "stockNo", r"a1.csv: of several snapshots each needs a day; "),
        (
            ["a1.csv", "a2.csv"],
            {"listedOn": ["2025-06-01"] * 3 + ["2025-06-02"]},
            "stockNo",
            r"or give all its rows one day in listedOn",
        ),
        (["a2025-06-01.csv", "a2025-06-02.csv"], {}, None, r"name the column that does with --id"),
        (
            ["a.csv"],
            {"price": "dear"},
            None,
            r"price is 'dear' in row 0, .* in 100 % of the rows; ",
        ),
        (["a.csv"], {"price": "$9000", "year": 2018}, None, r"price is '\$9000' in row 0"),
        (["a.csv"], {"currency": "EUR"}, None, r"currency"),
        (["a.csv"], {"odometer": "far"}, None, r"odometer is 'far' in row 0"),
    ],
)
def test_what_cannot_be_a_stock_is_refused_and_nothing_is_written(
    files: list[str],
    columns: dict[str, Any],
    car_id: str | None,
    message: str,
    model: PriceModel,
    tmp_path: Path,
) -> None:
    shop(tmp_path, *files, **columns)
    with pytest.raises(InputError, match=message):
        told(model, tmp_path / "out" / "s.csv", tmp_path / "a*.csv", car_id=car_id)
    assert not (tmp_path / "out").exists()


def test_a_file_without_a_needed_column_names_it(model: PriceModel, tmp_path: Path) -> None:
    snapshot("2025-06-01").drop(columns="model").to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(InputError, match=r"a\.csv has no column for model .*; add 'model: <its"):
        told(model, tmp_path / "s.xlsx", tmp_path / "a.csv")


@pytest.mark.parametrize("rows", [{"make": "Nobody's"}, {}])
def test_a_stock_without_one_priced_row_has_problems_and_an_empty_summary(
    rows: dict[str, str], model: PriceModel, tmp_path: Path
) -> None:
    cars = snapshot("2025-06-01")
    cars.assign(**({} if rows else {"year": 0})).to_csv(tmp_path / "a.csv", index=False)
    given = {"rows": {"keep": rows}} if rows else {}
    done = told(model, tmp_path / "s.xlsx", tmp_path / "a.csv", **given)
    tables = pd.read_excel(tmp_path / "s.xlsx", sheet_name=None)
    assert (done.rows, done.with_price) == (4, 0)
    assert tables["stock"]["problem"].notna().all()
    assert tables["stock"]["price"].tolist() == cars["price"].tolist()
    assert tables["summary"].empty
    assert "medianPriceToMarket" in tables["summary"]


@pytest.mark.parametrize("names", [("askingPrice", "price"), ("price", "Asking Price")])
def test_each_snapshot_tells_what_is_asked_in_a_column_of_its_own(
    names: tuple[str, str], model: PriceModel, tmp_path: Path
) -> None:
    for day, name in zip(SNAPSHOTS, names, strict=False):
        snapshot(day).rename(columns={"price": name}).to_csv(tmp_path / f"{day}.csv", index=False)
    told(model, tmp_path / "out.csv", tmp_path / "2025-*.csv", car_id="stockNo")
    out = pd.read_csv(tmp_path / "out.csv").set_index("stockNo")
    assert out["priceDropTotal"].to_dict() == {"a": 20_000, "b": 0, "c": 0, "e": 0}
    assert out["priceToMarket"].notna().to_dict() == {"a": True, "b": True, "c": False, "e": True}


@pytest.mark.parametrize("columns", [{}, {"price": "ask"}])
def test_a_snapshot_without_a_price_asked_is_refused_where_another_has_one(
    columns: dict[str, str], model: PriceModel, tmp_path: Path
) -> None:
    first, second = (snapshot(day) for day in [*SNAPSHOTS][:2])
    name = columns.get("price", "askingPrice")
    first.rename(columns={"price": name}).to_csv(tmp_path / "2025-06-01.csv", index=False)
    second.rename(columns={"price": "cost"}).to_csv(tmp_path / "2025-06-16.csv", index=False)
    message = rf"2025-06-16\.csv has no column '{name}'.*2025-06-01\.csv has.*'price: null'"
    with pytest.raises(InputError, match=message):
        told(model, tmp_path / "o.csv", tmp_path / "2025-*.csv", car_id="stockNo", columns=columns)


def test_cars_of_one_name_and_of_none_are_told(model: PriceModel, tmp_path: Path) -> None:
    for day in SNAPSHOTS:
        cars = snapshot(day).assign(stockNo=["a", "a", None, "x"])
        cars.to_csv(tmp_path / f"{day}.csv", index=False)
    done = told(model, tmp_path / "out.csv", tmp_path / "2025-*.csv", car_id="stockNo")
    assert "3 rows have no day, or nothing that names their car" in done.notes[-2]
    assert "3 rows repeat a car of the same day" in done.notes[-1]
    assert done.rows == 4


@pytest.mark.parametrize("name", ["out.xls", "out", "out.csv.gz", "out.jsonl"])
def test_another_ending_is_an_error_before_anything_is_read(
    name: str, model: PriceModel, tmp_path: Path
) -> None:
    for refuse in (
        lambda path: check_target(path, ["nowhere.csv"]),
        lambda path: told(model, path, "nowhere.csv"),
    ):
        with pytest.raises(InputError, match=r"the ending must be one of \.csv, \.parquet, \.xlsx"):
            refuse(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["cars.csv", "x.csv"])
def test_neither_the_stock_nor_what_is_beside_it_is_written_over_a_source(
    name: str, source: Path, tmp_path: Path
) -> None:
    (tmp_path / "x-summary.csv").write_text("mine")
    with pytest.raises(InputError, match="is read as a source, too; name another file with --out"):
        check_target(tmp_path / name, [str(tmp_path / "*.csv")])
    assert (tmp_path / "x-summary.csv").read_text() == "mine"


def test_of_several_tables_all_are_written_or_none(
    model: PriceModel, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for name in ("s.csv", "s-summary.csv"):
        (out / name).write_text("old")
    calls: list[Path] = []
    to_csv = pd.DataFrame.to_csv

    def breaks_off(self: pd.DataFrame, path: Path, **given: Any) -> None:
        calls.append(path)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        to_csv(self, path, **given)

    monkeypatch.setattr(pd.DataFrame, "to_csv", breaks_off)
    with pytest.raises(Exception, match="no space left"):
        told(model, out / "s.csv", source)
    assert {path.name: path.read_text() for path in out.iterdir()} == {
        "s.csv": "old",
        "s-summary.csv": "old",
    }


def test_parquet_that_cannot_hold_a_column_says_so(model: PriceModel, tmp_path: Path) -> None:
    rows = [{"make": "Maruti", "model": "Swift", "year": 2019, "odometer": 1, "x": 1}]
    rows += [{**rows[0], "x": "text"}]
    pd.DataFrame(rows).to_json(tmp_path / "a.jsonl", orient="records", lines=True)
    with pytest.raises(InputError, match=r"several kinds of values .*; write \.csv or \.xlsx"):
        told(model, tmp_path / "s.parquet", tmp_path / "a.jsonl")
    told(model, tmp_path / "s.xlsx", tmp_path / "a.jsonl")
    assert pd.read_excel(tmp_path / "s.xlsx")["x"].tolist() == [1, "text"]


def test_chunks_give_what_one_piece_gives(
    model: PriceModel, snapshots: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(model, tmp_path / "whole.csv", *snapshots, car_id="stockNo")
    small = listings_to_price.read_chunks
    monkeypatch.setattr(
        listings_to_price, "read_chunks", lambda *args, **given: small(*args, chunk_rows=1, **given)
    )
    told(model, tmp_path / "parts.csv", *snapshots, car_id="stockNo")
    for name in ("", "-summary", "-gone"):
        parts, whole = (tmp_path / f"{kind}{name}.csv" for kind in ("parts", "whole"))
        assert parts.read_text() == whole.read_text()


def test_bands_of_prices_hold_their_prices() -> None:
    prices = np.exp(np.random.default_rng(0).uniform(-3, 18, 500)).tolist()
    for price in (*prices, 1.0, 200.0, 999.9999999999999, 5e6):
        low, high = (float(one.replace(",", "")) for one in price_band(price).split("–"))
        assert low <= price < high
        assert f"{low:e}"[0] in "125"
        assert high / low in (2, 2.5)
