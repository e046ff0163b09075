import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from carprice.errors import CarpriceWarning, InputError
from carprice.listings.frames import as_columns
from carprice.monitoring.observations import observe, read_fresh, read_log
from carprice.monitoring.outcomes import Kind, Outcome
from carprice.monitoring.records import ANSWER_COLUMNS, OBSERVATION_COLUMNS
from carprice.schema import FIELDS
from carprice.settings import IngestSettings, SampleSettings

DAY = datetime.date(2025, 6, 14)
SWIFT: dict[str, Any] = {
    **{"make": "Maruti", "model": "Swift", "year": 2019, "odometer": 42000.0},
    "features": ["Bluetooth", "AlloyWheels"],
}
RIO: dict[str, Any] = {"make": "Kia", "model": "Rio", "year": 2020, "odometer": 9000.0}


def answer(quote: str, day: int, car: dict[str, Any], price: float, **more: Any) -> dict[str, Any]:
    moment = datetime.datetime(2025, 6, day, 23, 30, tzinfo=datetime.UTC)
    told = {"quote_id": quote, "answered_at": moment, "quoted_price": price, "shadow": False}
    return {**told, "model_version": "1", "problem": "", **car, **more}


def write(folder: Path, name: str, *rows: dict[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    pd.DataFrame(rows).to_parquet(folder / name, index=False)
    return folder


def sold(price: float, quote: str = "", day: datetime.date = DAY, **listing: Any) -> Outcome:
    return Outcome(Kind.SOLD, price, day, quote, listing)


@pytest.fixture
def log(tmp_path: Path) -> pd.DataFrame:
    folder = write(
        tmp_path / "log",
        "a.parquet",
        answer("a", 1, SWIFT, 500.0),
        answer("a", 2, SWIFT, 500.0),
        answer("b", 3, SWIFT, 510.0),
        answer("c", 20, SWIFT, 520.0),
    )
    write(folder, "b.parquet", answer("s", 3, SWIFT, 999.0, shadow=True), answer("r", 4, RIO, 90.0))
    return read_log(str(folder))


def test_the_log_is_read_from_all_finished_files_in_order(log: pd.DataFrame) -> None:
    assert [*log.columns] == [*ANSWER_COLUMNS, *FIELDS]
    assert log["quote_id"].tolist() == ["a", "a", "b", "s", "r", "c"]
    assert str(log["answered_at"].dtype) == "datetime64[us, UTC]"
    assert log["features"].tolist()[:1] == ["AlloyWheels|Bluetooth"]


def test_only_the_days_asked_for_are_read(tmp_path: Path) -> None:
    folder = write(tmp_path / "log", "a.parquet", *(answer(f"{n}", n, RIO, 9.0) for n in (1, 2, 3)))
    june = datetime.date(2025, 6, 2)
    assert read_log(str(folder), june, june)["quote_id"].tolist() == ["2"]
    assert len(read_log(str(folder), until=june)) == 2
    assert read_log(str(folder), since=datetime.date(2025, 7, 1)).columns.tolist() == [
        *ANSWER_COLUMNS,
        *FIELDS,
    ]


def test_damaged_files_are_told_of_and_unfinished_ones_not_looked_at(tmp_path: Path) -> None:
    folder = write(tmp_path / "log", "good.parquet", answer("a", 1, RIO, 9.0))
    whole = (folder / "good.parquet").read_bytes()
    (folder / ".half.parquet").write_bytes(whole[:50])
    (folder / "next.parquet.part").write_bytes(whole[:50])
    (folder / "cut.parquet").write_bytes(whole[:-50])
    pd.DataFrame({"other": [1]}).to_parquet(folder / "other.parquet")
    with pytest.warns(CarpriceWarning) as told:
        assert read_log(str(folder))["quote_id"].tolist() == ["a"]
    assert [str(one.message).partition(" is no whole")[0] for one in told] == [
        str(folder / "cut.parquet"),
        str(folder / "other.parquet"),
    ]
    with pytest.raises(InputError, match="is no folder; name that of CARPRICE_PREDICTION_LOG"):
        read_log(str(tmp_path / "none"))


def test_a_log_in_s3_is_read(bucket: Any, tmp_path: Path) -> None:
    folder = write(tmp_path / "log", "a.parquet", answer("a", 1, RIO, 9.0))
    for key in ("log/2025/a.parquet", "log/2025/.b.parquet", "logs/c.parquet"):
        bucket.upload_file(str(folder / "a.parquet"), "market", key)
    assert read_log("s3://market/log")["quote_id"].tolist() == ["a"]
    with pytest.raises(InputError, match="s3://nowhere/log"):
        read_log("s3://nowhere/log")


def test_an_outcome_of_a_quote_has_what_was_said_and_the_listing(log: pd.DataFrame) -> None:
    seen = observe(log, [sold(5_000_000.0, "a")])
    assert [*seen.columns] == [*OBSERVATION_COLUMNS, *FIELDS]
    row = seen.iloc[0]
    assert len(seen) == 1
    assert row[["source", "observed_price", "quoted_price", "make"]].tolist() == [
        *("sold", 5_000_000.0, 500.0, "Maruti")
    ]
    assert row["observed_on"] == pd.Timestamp(DAY)
    assert as_columns(seen)["features"] == ["AlloyWheels|Bluetooth"]


@pytest.mark.parametrize(
    ("day", "quote"),
    [(DAY, "b"), (datetime.date(2025, 6, 20), "c"), (datetime.date(2025, 5, 1), "a")],
    ids=["the last before", "of the same day", "the first after"],
)
def test_an_outcome_of_a_listing_has_the_answer_nearest_its_day(
    log: pd.DataFrame, day: datetime.date, quote: str
) -> None:
    listing = {**SWIFT, "make": " maruti", "features": ["AlloyWheels", "Bluetooth"], "year": 2019}
    seen = observe(log, [sold(480.0, day=day, **listing)])
    assert seen["quote_id"].tolist() == [quote]


def test_what_nobody_was_told_a_price_of_is_kept_and_what_names_no_car_is_not(
    log: pd.DataFrame,
) -> None:
    outcomes = [
        sold(70.0, **RIO),
        sold(80.0, **{**RIO, "odometer": 9001.0}),
        sold(90.0, "unknown"),
        sold(95.0, "unknown too", **{**RIO, "year": 2021}),
        Outcome(Kind.WITHDRAWN, None, DAY, "c"),
    ]
    seen = observe(log, outcomes)
    assert seen["observed_price"].tolist() == [70.0, 80.0, 95.0]
    assert seen["quoted_price"].isna().tolist() == [False, True, True]
    assert seen["quote_id"].tolist() == ["r", None, "unknown too"]


def test_a_sale_that_is_told_of_two_quotes_counts_once(log: pd.DataFrame) -> None:
    assert len(observe(log, [sold(480.0, "a"), sold(480.0, "b"), sold(480.0, "c")])) == 1
    assert len(observe(log, [sold(480.0, "a"), sold(481.0, "b")])) == 2


def test_fresh_listings_stand_beside_outcomes_with_their_own_columns() -> None:
    settings = IngestSettings(sample=SampleSettings(rows=300))
    fresh = read_fresh("sample", settings)
    seen = observe(read_empty(), [sold(480.0, **{**RIO, "flag:accident": "yes"})], fresh)
    assert seen["source"].value_counts().to_dict() == {"listed": len(fresh), "sold": 1}
    assert seen["flag:accident"].tolist()[:2] == ["yes", None]
    listed = seen.loc[seen["source"] == "listed"]
    assert listed["observed_price"].tolist() == fresh["price"].tolist()
    assert (listed["observed_on"] == listed["listed_on"]).all()
    assert "price" not in seen
    assert listed["quoted_price"].isna().all()


def read_empty() -> pd.DataFrame:
    return pd.DataFrame(columns=[*ANSWER_COLUMNS, *FIELDS])


def test_nothing_seen_is_a_table_of_no_rows() -> None:
    seen = observe(read_empty(), [], None)
    assert [*seen.columns] == [*OBSERVATION_COLUMNS, *FIELDS]
    assert len(seen) == 0


def test_fresh_listings_need_a_day(tmp_path: Path) -> None:
    cars = pd.DataFrame([{**RIO, "odometer": 9000 + n, "price": 400_000 + n} for n in range(60)])
    cars.to_csv(tmp_path / "cars.csv", index=False)
    with pytest.raises(InputError, match=r"cars\.csv: no listing tells .* ingest\.columns\.listed"):
        read_fresh(str(tmp_path / "cars.csv"), IngestSettings(valuation_date=DAY))
