"""The page that has a shop's file priced, in a real browser."""

import asyncio
import csv
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from asking import post, refused
from browser import TOO_WIDE, assert_accessible, chromium, needs_browser
from fastapi.testclient import TestClient

from api.keys import hashed
from api.pages import answers
from api.pages.stock import fields_of
from api.parsing import ListingForm
from api.routes import stock as routes
from carprice.arrays import quiet
from carprice.components.stock import stock
from carprice.model import PriceModel
from carprice.settings import IngestSettings

HEADER = "stockNo,make,model,year,odometer,fuel_type,Price,note"
ROWS = (
    'a,Maruti,Swift,2019,42000,Petrol,500000,"sunroof, ""new"""',
    "b,Maruti,Swift,2016,far,Petrol,300000,=1+1",
    "c,Hyundai,i20,2015,90000,Petrol,,\u0928\u092e\u0938\u094d\u0924\u0947",
    "d,Hyundai,i20,2015",
    "",
    "e,maruti,Alto,2018,30000,Petrol,99000000,",
)


# Three snapshots whose history is worked by hand in tests/appraisal/test_snapshots.py.
PRICES = {
    "2025-06-01": {"a": "500000", "b": "300000", "c": "400000", "d": "250000"},
    "2025-06-16": {"a": "480000", "b": "310000", "c": "", "e": "200000"},
    "2025-07-01": {"a": "470000", "c": "390000", "e": "200000", "f": ""},
}


def snapshots() -> dict[str, str]:
    """The files of the three, by their names."""
    header = "stockNo,make,model,year,odometer,price,note"
    return {
        f"cars-{day}.csv": "\n".join(
            [
                header,
                *(
                    f"{car},{'Hyundai,i20' if car in 'be' else 'Maruti,Swift'},2018,"
                    f"{40_000 + 1000 * ord(car)},{asked},{day}"
                    for car, asked in cars.items()
                ),
                "",
            ]
        )
        for day, cars in PRICES.items()
    }


def assert_same_cells(row: dict[str, str], other: dict[str, Any], names: Sequence[str]) -> None:
    """Fail where two rows have other numbers, or other texts, in some columns."""
    for name in names:
        own, theirs = row[name], other[name]
        try:
            assert float(own) == float(theirs), name
        except ValueError:
            assert own == theirs, name


def summed(*cars: list[Any], days: Sequence[str] = ("2025-06-01",)) -> dict[str, Any]:
    """What the page sends to have cars of one make summed up."""
    return {"days": [*days], "makes": ["Kia"], "cars": [*cars]}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def service(start: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = str(tmp_path_factory.mktemp("predictions"))
    with start(CARPRICE_BATCH_ROWS="2", CARPRICE_PREDICTION_LOG=log) as server:
        yield f"http://127.0.0.1:{server.port}"


@pytest.fixture
def page(browser: Any, service: str) -> Iterator[Any]:
    """The page in English; nothing complains, and nothing is asked of another host."""
    context = browser.new_context(locale="en-GB", accept_downloads=True)
    page = context.new_page()
    complaints: list[str] = []
    asked: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{service}/app/stock")
    yield page
    context.close()
    assert complaints == []
    assert [one for one in asked if not one.startswith((f"{service}/", "blob:"))] == []


def price(page: Any, *contents: str | bytes, names: Sequence[str] = ("cars.csv",)) -> None:
    bodies = [one.encode() if isinstance(one, str) else one for one in contents]
    files = [
        {"name": name, "mimeType": "text/csv", "buffer": body}
        for name, body in zip(names, bodies, strict=True)
    ]
    page.get_by_label("Listings").set_input_files(files)
    page.get_by_role("button", name="Price them").click()


def downloaded(page: Any, link: str = "Download the priced file", name: str = "cars-priced") -> str:
    with page.expect_download() as download:
        page.get_by_role("link", name=link).click()
    assert download.value.suggested_filename == f"{name}.csv"
    return Path(download.value.path()).read_bytes().decode("utf-8")


@needs_browser
def test_a_file_is_priced_in_parts_with_row_errors_in_place(page: Any) -> None:
    bodies: list[str] = []
    page.on("request", lambda one: one.url.endswith("/rows") and bodies.append(one.post_data))
    price(page, "\r\n".join([HEADER, *ROWS]))
    page.get_by_role("heading", name="The stock").wait_for()
    found = [*csv.DictReader(io.StringIO(downloaded(page)))]
    assert [row["stockNo"] for row in found] == ["a", "b", "c", "d", "e"]
    assert found[0]["note"] == 'sunroof, "new"'
    assert found[1]["note"] == "'=1+1"
    assert found[2]["note"] == "\u0928\u092e\u0938\u094d\u0924\u0947"
    assert [bool(row["predictedPrice"]) for row in found] == [True, False, True, False, True]
    assert [bool(row["quoteId"]) for row in found] == [True, False, True, False, True]
    assert found[1]["problem"].startswith("odometer: ")
    assert found[3]["problem"] == "the row has 4 cells, the header 8"
    ratio = 500_000 / float(found[0]["predictedPrice"])
    assert float(found[0]["priceToMarket"]) == pytest.approx(ratio, abs=1e-4)
    assert found[2]["priceToMarket"] == found[2]["deal"] == ""
    assert found[4]["deal"] in ("overpriced", "none")
    reasons = [found[0][f"reason{number}Amount"] for number in (1, 2, 3)]
    assert sorted(map(float, reasons), key=abs, reverse=True) == [*map(float, reasons)]
    assert re.fullmatch(r"\d+ of \d+", found[0]["comparablesRank"])
    assert found[2]["comparablesRank"] == ""
    assert len(bodies) == 2  # of two rows each, as the service allows
    assert all("stockNo" not in body and "sunroof" not in body for body in bodies)
    assert "3 of 5 rows priced." in page.locator("#notes").inner_text()
    makes = page.get_by_role("region", name="Medians by make").locator("tbody tr")
    shown = [row.split("\t")[:3] for row in makes.all_inner_texts()]
    assert shown == [["all", "3", "2"], ["Maruti", "2", "2"], ["Hyundai", "1", "0"]]
    problems = page.get_by_role("region", name="Problems").locator("tbody tr").all_inner_texts()
    assert [one.split("\t")[0] for one in problems] == ["3", "5"]


@needs_browser
def test_snapshots_tell_what_the_command_tells_of_them(
    page: Any, model: PriceModel, tmp_path: Path
) -> None:
    files = snapshots()
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    done = stock(
        model,
        IngestSettings(),
        [str(tmp_path / "cars-*.csv")],
        tmp_path / "out.csv",
        0.9,
        quiet,
        "stockNo",
    )
    page.get_by_label("Column that names each car").fill("stockNo")
    price(page, *files.values(), names=[*files])
    page.get_by_role("heading", name="The stock").wait_for()
    assert done.supply is not None
    assert done.supply.sentence(2) in page.locator("#notes").inner_text()
    assert "the stock lasts 60 days" in done.supply.sentence(2)
    found = downloaded(page, name="cars-2025-07-01-priced")
    gone = downloaded(page, "Download what is gone", "cars-2025-07-01-gone")
    for file, text in (("out.csv", found), ("out-gone.csv", gone)):
        expected = [*csv.DictReader(io.StringIO((tmp_path / file).read_text()))]
        rows = [*csv.DictReader(io.StringIO(text))]
        assert len(rows) == len(expected) > 1
        told_by_page_alone = {"currency", "valuationDate", "modelVersion", "quoteId"}
        assert {*rows[0]} - {*expected[0]} == told_by_page_alone
        for row, other in zip(rows, expected, strict=True):
            assert_same_cells(row, other, [*expected[0]])
    everything = page.get_by_role("region", name="Medians by make").locator("tbody tr").first
    assert everything.inner_text().split("\t")[-3:] == ["22.5", "2", "60"]
    page.set_viewport_size({"width": 320, "height": 800})
    assert page.evaluate(TOO_WIDE) <= 0
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert_accessible(page)


@needs_browser
def test_years_are_read_as_the_service_reads_them(page: Any) -> None:
    years = ("2019", "\uff12\uff10\uff11\uff19", "\u0662\u0660\u0661\u0669")
    rows = [f"Kia,Seltos,{year},40000" for year in years]
    price(page, "\n".join(["make,model,year,odometer", *rows]))
    page.get_by_role("heading", name="The stock").wait_for()
    prices = [row["predictedPrice"] for row in csv.DictReader(io.StringIO(downloaded(page)))]
    assert prices == [prices[0]] * 3
    ages = page.get_by_role("region", name="Medians by age").locator("tbody tr")
    assert [row.split("\t")[1] for row in ages.all_inner_texts()] == ["3", "3"]


@needs_browser
def test_what_was_priced_is_kept_where_the_summary_fails(page: Any) -> None:
    page.route("**/app/stock/summary", lambda route: route.fulfill(status=200, body="no JSON"))
    price(page, "make,model,year,odometer\nKia,Seltos,2019,40000\n")
    page.get_by_role("heading", name="The stock").wait_for()
    assert "There is no summary, but all rows are in the download: " in page.inner_text("#notes")
    (row,) = csv.DictReader(io.StringIO(downloaded(page)))
    assert float(row["predictedPrice"]) > 0


@needs_browser
def test_what_is_priced_is_kept_where_the_rest_fails_and_is_gone_on_with(
    browser: Any, service: str
) -> None:
    lines = [
        "make,model,year,odometer,price,alloy wheels,Sunroof/Moonroof",
        "Maruti,Swift,2018,41500,400000,1,ja",
        "Maruti,Swift,2018,41500,400000,,no",
        "Maruti,Swift,2018,41500,0,0,1",
        "Maruti,Swift,2018,41500,400000,maybe,1",
        "Maruti,Swift,2018,41500,400000,2,x",
    ]
    page = browser.new_context(locale="en-GB").new_page()
    page.goto(f"{service}/app/stock")
    failing = [None, "abort", 500]

    def answer(route: Any) -> None:
        fails = failing.pop(0) if failing else None
        if fails == "abort":
            route.abort()
        elif fails:
            route.fulfill(status=fails, body="<html>")
        else:
            route.continue_()

    page.route("**/app/stock/rows", answer)
    price(page, "\n".join(lines))
    notes, go_on = page.locator("#notes"), page.get_by_role("button", name="Go on")
    for why in ("the service does not answer", "the service answers with the status 500"):
        page.get_by_role("heading", name="The stock").wait_for()
        assert f"Not all is priced: cars.csv, from line 4 on: {why}" in notes.inner_text()
        assert "2 rows are left, from cars.csv, line 4, on" in notes.inner_text()
        rows = [*csv.DictReader(io.StringIO(downloaded(page)))]
        assert [bool(row["predictedPrice"]) for row in rows] == [True, True, False, False, False]
        assert [row["problem"][:10] for row in rows] == [
            "",
            "",
            "not priced",
            "AlloyWheel",
            "not priced",
        ]
        go_on.click()
    page.get_by_text("3 of 5 rows priced.").wait_for()
    assert go_on.is_hidden()
    rows = [*csv.DictReader(io.StringIO(downloaded(page)))]
    assert rows[2]["problem"].startswith("askingPrice: ")
    assert rows[3]["problem"] == "AlloyWheels: must be 0 or 1, or no or yes (found maybe)"
    listing = {"make": "Maruti", "model": "Swift", "year": 2018, "odometer": 41500}
    for row, features in ((rows[0], ["AlloyWheels", "Sunroof/Moonroof"]), (rows[1], [])):
        answered = page.request.post(f"{service}/predict", data={**listing, "features": features})
        assert float(row["predictedPrice"]) == answered.json()["predictedPrice"]
    assert rows[0]["predictedPrice"] == rows[4]["predictedPrice"] != rows[1]["predictedPrice"]
    page.context.close()


@needs_browser
def test_prices_are_those_of_the_batch_whatever_delimits_the_file(page: Any, service: str) -> None:
    told = {}
    for delimiter in ",;\t":
        page.goto(f"{service}/app/stock")
        rows = [f"Kia;Seltos;{year};40000;800000" for year in (2018, 2019, 2020)]
        text = "\ufeff" + "\n".join(["Make;MODEL;year;Odo meter;asking price", *rows, ""])
        price(page, text.replace(";", delimiter))
        page.get_by_role("heading", name="The stock").wait_for()
        content = downloaded(page)
        assert content.startswith("\ufeffMake" + delimiter)
        found = [*csv.DictReader(io.StringIO(content[1:]), delimiter=delimiter)]
        assert all(row["deal"] and row["priceToMarket"] for row in found)
        told[delimiter] = [row["predictedPrice"] for row in found]
    listings = [
        {"make": "Kia", "model": "Seltos", "year": year, "odometer": 40000} for year in (2018, 2020)
    ]
    answer = page.request.post(f"{service}/predict/batch", data={"listings": listings})
    prices = [row["price"]["predictedPrice"] for row in answer.json()["rows"]]
    assert [float(told[","][place]) for place in (0, 2)] == prices
    assert told[","] == told[";"] == told["\t"]


@needs_browser
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "The file is empty."),
        ("make,model,year,odometer\n\n", "The file has a header, and no row below it."),
        ("make,kind,year\nKia,Rio,2019\n", "no column model, odometer; its columns are make, kind"),
        ("make,Make,model,year,odometer\n1,2,3,4,5", "columns make and Make are both read as make"),
        ('make,model,year,odometer\nKia,"Rio,2019,1\n', "quote that opens at line 2 is not closed"),
        ('make,model,year,odometer\nKia,"Rio"s,2019,1\n', "something follows a closing quote"),
        (b"PK\x03\x04\xff\xff", "A workbook is not read here. Save its sheet as CSV UTF-8"),
        (b"\xd0\xcf\x11\xe0", "The file is not UTF-8 text; save it as CSV in UTF-8."),
        (
            "make,model,year,odometer\n" + "Kia,Rio,2019,1\n" * 100_001,
            "There are 100,001 rows; cut the stock into files of 100,000 at most.",
        ),
    ],
)
def test_a_file_that_cannot_be_a_stock_is_refused_in_words(
    page: Any, content: str | bytes, message: str
) -> None:
    from playwright.sync_api import expect

    price(page, content)
    expect(page.get_by_role("alert")).to_contain_text(message)
    assert page.locator("#result").is_hidden()
    assert page.get_by_role("button", name="Price them").is_enabled()


@needs_browser
def test_without_javascript_the_page_says_what_to_do(browser: Any, service: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{service}/app/stock")
    assert "This page needs JavaScript" in page.locator("main").inner_text()
    assert page.get_by_label("Listings").is_hidden()
    context.close()


def test_a_row_tells_price_reasons_and_rank_as_an_appraisal_does(client: TestClient) -> None:
    text = "make,model,year,odometer,askingPrice\nMaruti,Swift,2018,41500,400000\nKia,,2018,1,\n"
    answer = client.post("/app/stock/rows", content=text, headers={"Content-Type": "text/csv"})
    row, wrong = answer.json()["rows"]
    listing = {"make": "Maruti", "model": "Swift", "year": 2018, "odometer": 41500}
    whole = post(client, "/appraise", {**listing, "askingPrice": 400000}).json()
    assert row["price"]["deal"] == whole["deal"]
    largest = sorted(whole["reasons"], key=lambda one: -abs(one["amount"]))[:3]
    assert row["reasons"] == [[one["name"], one["amount"]] for one in largest]
    adjusted = [one["adjustedPrice"] for one in whole["comparables"]["listings"]]
    place = 1 + sum(price < 400000 for price in adjusted)
    assert row["rank"] == f"{place} of {len(adjusted) + 1}"
    assert wrong == {"price": None, "problem": "model: this field is required"}


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        ("days", {"hasIds": False, "files": [], "cars": []}, "files: List should have at least 1"),
        ("days", {"hasIds": True, "files": ["a"], "cars": [[0, 0, "", 3]]}, "3: Input should be"),
        ("days", {"hasIds": True, "files": ["a"], "cars": [[0, -1, "", ""]]}, "1: Input should be"),
        ("days", {"hasIds": True, "files": ["a"], "cars": [[1, 0, "", ""]]}, "of their files"),
        (
            "days",
            {"hasIds": False, "files": ["a", "b"], "cars": []},
            "2 files are snapshots of one stock, and nothing tells which listings are of one car",
        ),
        (
            "days",
            {"hasIds": True, "files": ["a", "b"], "cars": [[0, 0, "", ""], [1, 0, "", ""]]},
            "a: of several snapshots each needs a day",
        ),
        ("summary", summed(days=["2025-07-01", "2025-06-01"]), "days must ascend"),
        ("summary", summed([0, 3, 5.0, 0.0, None, None, False]), "3: Input"),
        ("summary", summed([1, 3, 5.0, 1.0, None, None, False]), "none of the makes"),
        ("summary", summed([0, 3, 5.0, 1.0, None, "2025-06-02", False]), "be seen after them"),
        ("summary", b'{"days": [], "makes": [], "cars": NaN}', "cars: "),
        ("summary", b"[]", "the body: "),
    ],
)
def test_what_no_page_sends_is_refused(
    client: TestClient, path: str, content: object, message: str
) -> None:
    answer = post(client, f"/app/stock/{path}", content)
    assert message in refused(answer, 422, "malformed-body")["detail"]


def test_a_price_just_below_a_band_is_summed_up(client: TestClient) -> None:
    content = summed([0, 3, None, 999.9999999999999, None, None, False])
    rows = post(client, "/app/stock/summary", content).json()["rows"]
    assert rows[-1]["group"] == "500\u20131,000"


def test_a_stock_is_taken_whole_where_batches_are_small(client_with: Any) -> None:
    seen = [[0, None, "2025-06-01", "500000"]] * 1000
    cars = [[0, 3, 500_000, 480_000.25, 30, "2025-06-01", False]] * 1000
    with client_with(batch_bytes=10_000) as client:
        for path, content in (
            ("days", {"hasIds": False, "files": ["a.csv"], "cars": seen}),
            ("summary", summed(*cars)),
        ):
            assert post(client, f"/app/stock/{path}", content).status_code == 200
        assert 'data-bytes="10000"' in client.get("/app/stock").text
    answer = post(client, "/app/stock/days", b" " * (16 * 1024 * 1024 + 1))
    assert "16,777,216 bytes" in refused(answer, 413, "request-too-large")["detail"]


def test_more_rows_than_a_stock_has_are_refused_before_any_work(client: TestClient) -> None:
    cars = [[0, None, "", ""]] * 100_001
    answer = post(client, "/app/stock/days", {"hasIds": True, "files": ["a.csv"], "cars": cars})
    assert "100,000" in refused(answer, 413, "request-too-large")["detail"]


def test_where_keys_are_on_nothing_is_priced_without_one(client_with: Any) -> None:
    text = b"make,model,year,odometer\nMaruti,Swift,2018,41500\n"
    with client_with(api_keys=f"shop:{hashed('a-key')}") as client:
        assert client.get("/app/stock").status_code == 200
        for path in ("rows", "days", "summary"):
            refused(client.post(f"/app/stock/{path}", content=text), 401, "unauthorized")
        headers = {"Content-Type": "text/csv", "X-API-Key": "a-key"}
        assert client.post("/app/stock/rows", content=text, headers=headers).status_code == 200


def test_pages_and_their_rows_are_made_beside_the_event_loop(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[bool] = []

    def noted(work: Any) -> Any:
        def noting(*arguments: Any, **named: Any) -> Any:
            made.append(has_loop())
            return work(*arguments, **named)

        return noting

    for module, name in ((answers, "render"), (routes, "ranks_of"), (routes, "summary_of")):
        monkeypatch.setattr(module, name, noted(getattr(module, name)))
    browser = {"Accept": "text/html"}
    query = "?make=Maruti&model=Swift&year=2018&odometer=41500"
    for path in ("/", f"/app{query}", "/app/stock", "/model-card"):
        assert client.get(path, headers=browser).status_code == 200
    text = "make,model,year,odometer,askingPrice\nMaruti,Swift,2018,41500,400000\n"
    client.post("/app/stock/rows", content=text, headers={"Content-Type": "text/csv"})
    assert post(client, "/app/stock/summary", summed(days=[])).json() == {"rows": []}
    assert made == [False] * 6


def has_loop() -> bool:
    """Whether an event loop runs in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def test_a_column_is_a_field_in_any_spelling_and_own_columns_too() -> None:
    fields = fields_of(ListingForm(("flag:accident", "number:door_count")))
    names = ("accident", "doorcount", "enginecc", "askingprice", "price")
    own = ["accident", "door_count", "engineCc", "askingPrice", "askingPrice"]
    assert [fields[one] for one in names] == own
    assert "featurecount" not in fields
