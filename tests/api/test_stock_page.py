"""The page that has a shop's file priced, in a real browser."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import CHROMIUM, needs_browser

from api.pages.stock import fields_of
from api.parsing import ListingForm

HEADER = "stockNo,make,model,year,odometer,fuel_type,Price,note"
ROWS = (
    'a,Maruti,Swift,2019,42000,Petrol,500000,"sunroof, ""new"""',
    "b,Maruti,Swift,2016,far,Petrol,300000,=1+1",
    "c,Hyundai,i20,2015,90000,Petrol,,\u0928\u092e\u0938\u094d\u0924\u0947",
    "d,Hyundai,i20,2015",
    "",
    "e,maruti,Alto,2018,30000,Petrol,99000000,",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def service(start: Any) -> Iterator[str]:
    with start(CARPRICE_BATCH_ROWS="2") as server:
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


def price(page: Any, content: str | bytes, name: str = "cars.csv") -> None:
    body = content.encode() if isinstance(content, str) else content
    file = {"name": name, "mimeType": "text/csv", "buffer": body}
    page.get_by_label("Listings").set_input_files([file])
    page.get_by_role("button", name="Price them").click()


def downloaded(page: Any) -> str:
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the priced file").click()
    assert download.value.suggested_filename == "cars-priced.csv"
    return Path(download.value.path()).read_bytes().decode("utf-8")


@needs_browser
def test_a_file_is_priced_in_parts_with_row_errors_in_place(page: Any) -> None:
    bodies: list[str] = []
    page.on("request", lambda one: one.method == "POST" and bodies.append(one.post_data))
    price(page, "\r\n".join([HEADER, *ROWS]))
    page.get_by_role("heading", name="The stock").wait_for()
    found = [*csv.DictReader(io.StringIO(downloaded(page)))]
    assert [row["stockNo"] for row in found] == ["a", "b", "c", "d", "e"]
    assert found[0]["note"] == 'sunroof, "new"'
    assert found[1]["note"] == "'=1+1"
    assert found[2]["note"] == "\u0928\u092e\u0938\u094d\u0924\u0947"
    assert [bool(row["predictedPrice"]) for row in found] == [True, False, True, False, True]
    assert found[1]["problem"].startswith("odometer: ")
    assert found[3]["problem"] == "the row has 4 cells, the header 8"
    ratio = 500_000 / float(found[0]["predictedPrice"])
    assert float(found[0]["priceToMarket"]) == pytest.approx(ratio, abs=1e-4)
    assert found[2]["priceToMarket"] == found[2]["deal"] == ""
    assert found[4]["deal"] in ("overpriced", "none")
    assert len(bodies) == 2  # of two rows each, as the service allows
    assert all("stockNo" not in body and "sunroof" not in body for body in bodies)
    assert "3 of 5 rows priced." in page.locator("#notes").inner_text()
    makes = page.get_by_role("region", name="Medians by make").locator("tbody tr")
    shown = [row.split("\t")[:3] for row in makes.all_inner_texts()]
    assert shown == [["all", "3", "2"], ["Maruti", "2", "2"], ["Hyundai", "1", "0"]]
    problems = page.get_by_role("region", name="Problems").locator("tbody tr").all_inner_texts()
    assert [one.split("\t")[0] for one in problems] == ["3", "5"]


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
        (b"PK\x03\x04\xff\xff", "The file is not UTF-8 text"),
        (
            "make,model,year,odometer\n" + "Kia,Rio,2019,1\n" * 100_001,
            "The file has 100,001 rows; cut it into files of 100,000 at most.",
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


def test_a_column_is_a_field_in_any_spelling_and_own_columns_too() -> None:
    fields = fields_of(ListingForm(("flag:accident", "number:door_count")))
    names = ("accident", "doorcount", "enginecc", "askingprice", "price")
    own = ["accident", "door_count", "engineCc", "askingPrice", "askingPrice"]
    assert [fields[one] for one in names] == own
    assert "featurecount" not in fields
