import json
import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from carprice.components import listings_to_price
from carprice.components.predict import predict
from carprice.errors import InputError
from carprice.listings.column_map import map_columns
from carprice.listings.features import listings_of
from carprice.listings.frames import as_columns
from carprice.listings.sources import Chunk, read_chunks
from carprice.model import PriceModel
from carprice.settings import IngestSettings

ADDED = ["predictedPrice", "priceLow", "priceHigh", "warnings", "problem"]
CARS = pd.DataFrame(
    {
        "id": ["a", "b", "c", "d", "e"],
        "make": ["Maruti", None, "Maruti", "Nobody", "Hyundai"],
        "model": ["Swift", "Swift", "Swift", "Never", "i20"],
        "year": ["2019", "2019", "soon", "2018", "2015"],
        "odometer": ["42000", "42000", "42000", "10000", "900000"],
        "note": [None, None, None, "x", None],
    }
)


class BrokenError(Exception):
    pass


@pytest.fixture(scope="module")
def model(finished) -> PriceModel:
    return PriceModel.load(finished[0].model)


@pytest.fixture
def source(tmp_path: Path) -> str:
    CARS.to_csv(tmp_path / "cars.csv", index=False)
    return str(tmp_path / "cars.csv")


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listings_to_price, "read_chunks", partial(read_chunks, chunk_rows=2))


def score(model: PriceModel, source: str, target: Path, **given: Any) -> tuple[int, int]:
    progress = given.pop("progress", lambda _: None)
    settings = IngestSettings.model_validate(given)
    done = predict(model, settings, source, target, 0.9, progress)
    return done.rows, done.with_price


def read(path: Path) -> pd.DataFrame:
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    if path.suffix == ".csv":
        return pd.read_csv(path, dtype={"year": str, "odometer": str})
    return pd.DataFrame(json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".jsonl", ".CSV"])
def test_every_row_comes_back_with_the_models_price_or_the_reason_why_not(
    ending: str, model: PriceModel, source: str, small_chunks: None, tmp_path: Path
) -> None:
    target = tmp_path / "new" / f"out{ending}"
    assert score(model, source, target) == (5, 3)
    written = read(target.rename(target.with_suffix(ending.lower())))
    written = written.where(written.notna(), None)
    assert list(written.columns) == [*CARS.columns, *ADDED]
    for name in ("id", "make", "year", "odometer", "note"):
        assert written[name].tolist() == CARS[name].where(CARS[name].notna(), None).tolist()
    mapped = map_columns(Chunk(CARS, "cars"), IngestSettings(), price_required=False).frame
    good = mapped["make"].notna() & mapped["year"].notna()
    valued = [*model.pricer.value_all(listings_of(as_columns(mapped[good])))]
    for name, figures in (
        ("predictedPrice", [one.predicted_price for one in valued]),
        ("priceLow", [one.price_low for one in valued]),
        ("priceHigh", [one.price_high for one in valued]),
    ):
        assert written[name][good].astype(float).tolist() == pytest.approx(figures)
        assert written[name][~good].isna().all()
    assert written["problem"].fillna("").tolist() == [
        "",
        "make: this field is required",
        "year: Input should be a valid integer (found 'soon')",
        "",
        "",
    ]
    warnings = written["warnings"].fillna("").tolist()
    assert warnings[:3] == ["", "", ""]
    assert warnings[3].startswith("make 'Nobody' was not in the training data")
    assert "900,000 km cannot be right" in warnings[4]


def test_a_source_without_one_good_row_has_only_problems(model: PriceModel, tmp_path: Path) -> None:
    CARS.assign(year="19").to_csv(tmp_path / "cars.csv", index=False)
    assert score(model, str(tmp_path / "cars.csv"), tmp_path / "out.parquet") == (5, 0)
    written = pd.read_parquet(tmp_path / "out.parquet")
    assert written["predictedPrice"].isna().all()
    assert (written["problem"] != "").all()


def test_chunks_give_what_one_piece_gives(
    model: PriceModel, source: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    score(model, source, tmp_path / "whole.csv")
    told: list[str] = []
    request.getfixturevalue("small_chunks")
    score(model, source, tmp_path / "chunks.csv", progress=told.append)
    assert (tmp_path / "chunks.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert told == ["2 rows", "4 rows", "5 rows"]


def test_columns_of_an_earlier_scoring_are_replaced(
    model: PriceModel, source: str, tmp_path: Path
) -> None:
    score(model, source, tmp_path / "one.csv")
    score(model, str(tmp_path / "one.csv"), tmp_path / "two.csv")
    assert (tmp_path / "two.csv").read_bytes() == (tmp_path / "one.csv").read_bytes()


def test_a_file_may_be_scored_onto_itself(model: PriceModel, source: str) -> None:
    assert score(model, source, Path(source)) == (5, 3)
    assert len(read(Path(source))) == 5


@pytest.mark.parametrize("late", [{"odometer": 42000.5}, {"x": "text"}])
def test_parquet_needs_columns_of_one_kind_and_says_so(
    late: dict[str, Any], model: PriceModel, small_chunks: None, tmp_path: Path
) -> None:
    car = {"make": "Maruti", "model": "Swift", "year": 2019, "odometer": 42000, "x": 1}
    path = tmp_path / "cars.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [car, car, car | late]))
    with pytest.raises(InputError, match=r"changes its kind .*; write \.csv or \.jsonl instead"):
        score(model, str(path), tmp_path / "out.parquet")
    assert not (tmp_path / "out.parquet").exists()
    assert score(model, str(path), tmp_path / "out.csv") == (3, 3)


@pytest.mark.parametrize("name", ["out.xlsx", "out", "out.csv.gz"])
def test_another_ending_is_an_error_before_anything_is_read(
    name: str, model: PriceModel, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"the ending must be one of \.csv, \.jsonl, \.parquet"):
        score(model, "nowhere.csv", tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".jsonl"])
def test_a_failure_midway_leaves_no_file_and_keeps_an_old_one(
    ending: str, model: PriceModel, source: str, small_chunks: None, tmp_path: Path
) -> None:
    def break_off(told: str) -> None:
        if told != "2 rows":
            raise BrokenError

    folder = tmp_path / "out"
    target = folder / f"out{ending}"
    with pytest.raises(BrokenError):
        score(model, source, target, progress=break_off)
    assert not folder.exists()
    folder.mkdir()
    target.write_text("old")
    with pytest.raises(BrokenError):
        score(model, source, target, progress=break_off)
    assert [path.name for path in folder.iterdir()] == [target.name]
    assert target.read_text() == "old"


@pytest.mark.parametrize(
    ("source_name", "columns", "message"),
    [
        ("nowhere.csv", {}, "does not exist"),
        ("cars.csv", {"make": "Marke"}, "no column 'Marke'"),
    ],
)
def test_a_source_that_cannot_be_read_leaves_no_file(
    source_name: str, columns: dict, message: str, model: PriceModel, source: str, tmp_path: Path
) -> None:
    path = str(Path(source).with_name(source_name))
    with pytest.raises(InputError, match=message):
        score(model, path, tmp_path / "out.csv", columns=columns)
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize(
    ("bad", "rows", "allowed", "is_refused"),
    [
        (1, 4, 0.05, False),
        (2, 4, 0.05, True),
        (2, 40, 0.05, False),
        (3, 40, 0.05, True),
        (4, 4, 1.0, False),
    ],
)
def test_a_file_of_which_too_much_cannot_be_read_is_refused(
    bad: int,
    rows: int,
    allowed: float,
    is_refused: bool,
    model: PriceModel,
    small_chunks: None,
    tmp_path: Path,
) -> None:
    odometers = ["42000 km"] * bad + ["42000"] * (rows - bad)
    cars = pd.DataFrame({"make": "Maruti", "model": "Swift", "year": 2019, "odometer": odometers})
    cars.to_csv(tmp_path / "cars.csv", index=False)
    source, target = str(tmp_path / "cars.csv"), tmp_path / "out.csv"
    if not is_refused:
        assert score(model, source, target, max_unreadable=allowed) == (rows, rows - bad)
        return
    told = (
        rf"odometer is '42000 km' in row 0, and cannot be read in {100 * bad / rows:.0f} % of the "
        "rows; write odometer: {from: odometer, number: true} in ingest.columns"
    )
    with pytest.raises(InputError, match=told):
        score(model, source, target, max_unreadable=allowed)
    assert not target.exists()
    rule = {"odometer": {"from": "odometer", "number": True}}
    assert score(model, source, target, columns=rule) == (rows, rows)


ISO = ["2024-05-01", "2024-05-02", "2024-06-30"]
MONTH_FIRST = {"listedOn": {"from": "listedOn", "date": "%m/%d/%Y"}}
UNREAD = [
    # column, its values, the rules that do not read them, the remedy
    ("listedOn", ["45300", "45301"], {}, "write listedOn: {from: listedOn, date: excel}"),
    ("listedOn", [*ISO, "45300", "45301"], {}, "write listedOn: {from: listedOn, date: excel}"),
    ("listedOn", ["45300", "45301", *ISO], {}, "write listedOn: {from: listedOn, date: excel}"),
    ("listedOn", ["5-2024", "6-2024"], {}, "write listedOn: {from: listedOn, date: '%m-%Y'}"),
    (
        "listedOn",
        [*ISO, "soon", "later"],
        {},
        "write listedOn: {from: listedOn, values: {soon: null, later: null}}",
    ),
    (
        "listedOn",
        ["5.1.24", "6.1.24"],
        MONTH_FIRST,
        "write listedOn: {from: listedOn, date: '%d.%m.%y'} in ingest.columns, or date: "
        "'%m.%d.%y' if the month comes first",
    ),
    (
        "listedOn",
        [*ISO, "05/01/2024"],
        MONTH_FIRST,
        "it has dates such as '2024-05-01' and '05/01/2024': write all of them in one way, such "
        "as 2024-05-31",
    ),
    (
        "listedOn",
        ["05/01/2024", *ISO],
        MONTH_FIRST,
        "it has dates such as '2024-05-01' and '05/01/2024': write all of them in one way, such "
        "as 2024-05-31",
    ),
    ("listedOn", ["week 5", "week 6"], {}, "or another column, or write 'listedOn: null'"),
    ("listedOn", [*ISO, "week 5", "week 6"], {}, "or set ingest.max_unreadable: 0.4 to leave"),
    ("odometer", ["9 km", "8", "9 km"], {}, "write odometer: {from: odometer, number: true}"),
    (
        "odometer",
        ["soon", "9", "later"],
        {},
        "write odometer: {from: odometer, values: {soon: null, later: null}}",
    ),
    ("year", ["about 2010", "in 2011"], {}, r"write year: {from: year, match: '((?:19|20)\d\d)'}"),
    (
        "sunroof",
        ["da", "fehlt", "fehlt"],
        {"features": {"flags": ["sunroof"]}},
        "say what 'fehlt' mean in values of ingest.columns.features: 'yes', 'no' or null",
    ),
    ("seats", ["5+2", "5+2"], {}, r"write seats: {from: seats, match: (\d+)}"),
]


@pytest.mark.parametrize("are_chunked", [False, True])
@pytest.mark.parametrize(("column", "values", "columns", "remedy"), UNREAD)
def test_the_remedy_of_what_cannot_be_read_helps_when_followed(
    column: str,
    values: list[str],
    columns: dict[str, Any],
    remedy: str,
    are_chunked: bool,
    model: PriceModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if are_chunked:
        monkeypatch.setattr(listings_to_price, "read_chunks", partial(read_chunks, chunk_rows=1))
    source, target = tmp_path / "cars.csv", tmp_path / "out.csv"
    cars = pd.DataFrame(
        {"make": "Maruti", "model": "Swift", "year": "2019", "odometer": "42000"},
        range(len(values)),
    ).assign(**{column: values})
    cars.to_csv(source, index=False)
    with pytest.raises(InputError) as refused:
        score(model, str(source), target, columns=columns)
    told = str(refused.value)
    assert remedy in told
    settings: dict[str, Any] = {"columns": columns}
    if found := re.search(r"write (\w+: \{.*?\}) in ingest.columns", told):
        settings = {"columns": {**columns, **yaml.safe_load(f"{{{found[1]}}}")}}
    elif "say what" in told:
        meant = {"features": {"flags": [column], "values": {"fehlt": "no"}}}
        settings = {"columns": meant}
    elif found := re.search("write '(listedOn: null)'", told):
        settings = {"columns": {**columns, "listedOn": None}}
    elif found := re.search("ingest.max_unreadable: ([0-9.]+)", told):
        settings["max_unreadable"] = float(found[1])
    else:
        cars.assign(**{column: ISO[0]}).to_csv(source, index=False)
        settings = {}
    assert score(model, str(source), target, **settings)[0] == len(values)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (
            [*ISO, "05/01/2024"],
            "the date '05/01/2024' may start with the day or the month, and others have another "
            "format, such as '2024-05-01'; write all of them in one way, such as 2024-05-31",
        ),
        (
            ["5.1.24", "6.1.24"],
            "the date '5.1.24' may start with the day or the month; give the format in "
            "ingest.columns, such as date: '%d.%m.%y' or date: '%m.%d.%y'",
        ),
        (
            ["05/01/2024 9:30", "25/01/2024 9:30", "soon"],
            "the date '05/01/2024 9:30' may start with the day or the month; give the format in "
            "ingest.columns, such as date: '%d/%m/%Y %H:%M'",
        ),
    ],
)
def test_an_ambiguous_date_is_told_the_formats_that_read_its_column(
    values: list[str], told: str, model: PriceModel, tmp_path: Path
) -> None:
    cars = CARS[: len(values)].assign(make="Maruti", year="2019", listedOn=values)
    cars.to_csv(tmp_path / "cars.csv", index=False)
    with pytest.raises(InputError) as refused:
        score(model, str(tmp_path / "cars.csv"), tmp_path / "out.csv")
    assert str(refused.value) == f"{tmp_path / 'cars.csv'}, listedOn: {told}"


def test_prices_asked_that_cannot_be_read_are_no_hindrance(
    model: PriceModel, tmp_path: Path
) -> None:
    cars = CARS.assign(make="Maruti", year="2019", odometer="42000", price="ask")
    cars.to_csv(tmp_path / "cars.csv", index=False)
    assert score(model, str(tmp_path / "cars.csv"), tmp_path / "out.csv") == (5, 5)


def test_a_file_without_odometers_is_priced_where_the_map_says_so(
    model: PriceModel, tmp_path: Path
) -> None:
    CARS.assign(make="Maruti", year=2019).drop(columns="odometer").to_csv(tmp_path / "cars.csv")
    source, target = str(tmp_path / "cars.csv"), tmp_path / "out.csv"
    assert score(model, source, target, columns={"odometer": None}) == (5, 5)


def test_rows_left_out_and_defaults_are_told_in_each_row(
    model: PriceModel, small_chunks: None, tmp_path: Path
) -> None:
    cars = CARS.assign(
        make="Maruti", year="2019", odometer="42000", model=["Swift", None, "Swift", "", "Swift"]
    )
    cars["ad"] = ["Offer", "offer", "Wanted", "Wanted", None]
    cars.to_csv(tmp_path / "cars.csv", index=False)
    columns = {"model": {"from": "model", "default": "Swift"}}
    rows = {"keep": {"ad": ["Offer", None]}}
    given = {"columns": columns, "rows": rows}
    assert score(model, str(tmp_path / "cars.csv"), tmp_path / "out.csv", **given) == (5, 3)
    written = read(tmp_path / "out.csv").astype(object).fillna("")
    told = "left out by ingest.rows.keep: ad is 'Wanted'"
    assert written["problem"].tolist() == ["", "", told, told, ""]
    default = "model is missing; priced as 'Swift', the default of its rule"
    assert written["warnings"].tolist() == ["", default, "", "", ""]
    prices = written["predictedPrice"].tolist()
    assert prices[0] == prices[1] == prices[4]
    assert prices[2:4] == ["", ""]
    # A file of listings to be priced need not say which of them would be learned from.
    cars.drop(columns="ad").to_csv(tmp_path / "cars.csv", index=False)
    assert score(model, str(tmp_path / "cars.csv"), tmp_path / "out.csv", **given) == (5, 5)


def test_flags_in_another_language_reach_the_price(model: PriceModel, tmp_path: Path) -> None:
    car = {"make": "Maruti", "model": "Swift", "year": 2019, "odometer": 42000}
    cars = pd.DataFrame([car | {"Sunroof/Moonroof": word} for word in ("ano", "ne", "mit", "ohne")])
    cars.to_csv(tmp_path / "cars.csv", index=False)
    flags = {"flags": ["Sunroof/Moonroof"], "values": {"mit": 1, "ohne": 0}}
    given = {"columns": {"features": flags}}
    assert score(model, str(tmp_path / "cars.csv"), tmp_path / "out.csv", **given) == (4, 4)
    prices = read(tmp_path / "out.csv")["predictedPrice"].tolist()
    assert prices[0] == prices[2] != prices[1] == prices[3]


GROUPED, GERMAN = ["42,000 km", "43,000 km"], ["42.000 km", "43.000 km"]
HUNDREDTHS = ["42,000.50 km", "43,000.50 km"]


@pytest.mark.parametrize(
    ("written", "power", "known", "read"),
    [
        pytest.param(GROUPED, "80", {"odometer": "."}, 42_000, id="as in training"),
        pytest.param(GERMAN, "80", {"odometer": ","}, 42_000, id="as in German training"),
        pytest.param(GROUPED, "80", {"power_bhp": "."}, 42_000, id="as another column of training"),
        pytest.param(HUNDREDTHS, "80", {"odometer": ","}, 42_000.5, id="its own against training"),
        pytest.param(GROUPED, "80.5", {"odometer": "."}, 42_000, id="its own beside training"),
        pytest.param(GROUPED, "80,5", {"odometer": "."}, None, id="another column contradicts"),
        pytest.param(GERMAN, "80", {"odometer": "."}, None, id="against training"),
        pytest.param(GERMAN, "80.5", {}, None, id="thousandths of a kilometre"),
        pytest.param(GROUPED, "80", {"odometer": ".", "power_bhp": ","}, 42_000, id="by field"),
        pytest.param(GROUPED, "80", {"seats": ".", "power_bhp": ","}, None, id="both in training"),
        pytest.param(GROUPED, "80", {}, None, id="nothing shows it"),
    ],
)
def test_a_file_is_read_in_the_notation_of_the_training_where_it_shows_no_other(
    written: list[str],
    power: str,
    known: dict[str, Any],
    read: float | None,
    model: PriceModel,
    tmp_path: Path,
) -> None:
    cars = CARS.iloc[[0, 0]].assign(odometer=written, powerBhp=power)
    cars.to_csv(tmp_path / "cars.csv", index=False)
    trained = replace(model, market=replace(model.market, decimals=known))
    columns = {"odometer": {"from": "odometer", "number": True}}
    source, target = str(tmp_path / "cars.csv"), tmp_path / "out.csv"
    if read is None:
        with pytest.raises(InputError, match=r"'4[23]\S+ km' and the like, which may be 42.*deci"):
            score(trained, source, target, columns=columns)
        return
    assert score(trained, source, target, columns=columns) == (2, 2)
    plain = cars.assign(odometer=[read, read + 1000], powerBhp=float(power.replace(",", ".")))
    plain.to_csv(source, index=False)
    score(model, source, tmp_path / "plain.csv")
    prices = [pd.read_csv(file)["predictedPrice"] for file in (target, tmp_path / "plain.csv")]
    assert prices[0].tolist() == prices[1].tolist()


def test_a_file_whose_distances_are_told_in_another_unit_is_refused(
    model: PriceModel, tmp_path: Path
) -> None:
    source, target = tmp_path / "cars.csv", tmp_path / "out.csv"
    CARS.iloc[[0, 0]].assign(odometer_unit=["km", "mi"]).to_csv(source, index=False)
    with pytest.raises(InputError, match=r"'odometer_unit' tells km in 1, mi in 1 rows; to keep"):
        score(model, str(source), target)
    assert not target.exists()
    kept = {"rows": {"keep": {"odometer_unit": ["km"]}}}
    assert score(model, str(source), target, **kept) == (2, 1)


def test_what_was_assumed_of_a_file_is_told(model: PriceModel, tmp_path: Path) -> None:
    cars = CARS.iloc[[0, 0]].assign(odometer=GROUPED)
    cars.to_csv(tmp_path / "cars.csv", index=False)
    trained = replace(model, market=replace(model.market, decimals={"odometer": "."}))
    settings = IngestSettings.model_validate(
        {"columns": {"odometer": {"from": "odometer", "number": True}}}
    )
    done = predict(
        trained, settings, str(tmp_path / "cars.csv"), tmp_path / "out.csv", 0.9, lambda _: None
    )
    (note,) = done.notes
    assert "'42,000 km' and the like" in note
    assert "'.'" in note
