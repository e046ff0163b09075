"""``GET /app`` as it is sent: what it shows and what it refuses; ``test_pages_browser`` uses it."""

import html
import re
from collections.abc import Iterable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
from asking import BARE, refused
from fastapi.testclient import TestClient

from api.app import create_app
from api.keys import hashed
from api.pages.charts import ticks
from api.pages.rendering import static_files
from api.served import ServedModel
from api.service_settings import ServiceSettings
from carprice.schema import example_listing

DOCS = Path(__file__).parents[2] / "docs"
BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
CAR = {**BARE, "askingPrice": 480_000}
ANSWER = f"/app?{urlencode(CAR)}"
KEY = "a-key-of-the-tests"
VOID = {"meta", "link", "input", "br", "img", "hr"}


class Elements(HTMLParser):
    """The elements of a page, each with its attributes; they must be closed in their order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def shown(text: str) -> str:
    """Return the words of a page, without tags."""
    return html.unescape(re.sub(r"<[^>]*>", "", text))


def test_the_form_is_there_and_prices_nothing(client: TestClient) -> None:
    answer = client.get("/app")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    names = {one["name"] for one in Elements(answer.text).of("input") if "name" in one}
    assert {"make", "model", "variant", "year", "odometer", "askingPrice", "features"} <= names
    assert "data-money" not in answer.text


def test_the_page_tells_what_appraise_tells(client: TestClient) -> None:
    told = client.post("/appraise", json=CAR).json()
    page = client.get(ANSWER)
    assert page.status_code == 200
    amounts = [float(one) for one in re.findall(r'data-money="([^"]+)"', page.text)]
    of_reasons = [one["amount"] for one in told["reasons"] if one["amount"]]
    of_comparables = [one["adjustedPrice"] for one in told["comparables"]["listings"]]
    every = [told["predictedPrice"], told["priceLow"], told["priceHigh"], told["start"]]
    assert {*every, *of_reasons, *of_comparables, told["deal"]["difference"]} <= {*amounts}
    assert told["quote"]["id"] in page.text
    numbers = {float(one) for one in re.findall(r'data-number="([^"]+)"', page.text)}
    assert {one["predictedPrice"] for one in told["curve"]["ahead"]["points"]} <= numbers
    assert len(Elements(page.text).of("circle")) == len(of_comparables) + 1  # the dial's hub


def test_a_comparable_without_a_year_is_called_new(client: TestClient) -> None:
    makes = client.get("/vocabulary").json()["makes"]
    cars = ((make, model) for make, models in makes.items() for model in models)
    new = ({"make": make, "model": model, "year": 2025, "odometer": 900} for make, model in cars)
    told = ((car, client.post("/appraise", json=car).json()) for car in new)
    car = next(
        car
        for car, answer in told
        if any(one["year"] is None for one in answer["comparables"]["listings"])
    )
    page = client.get("/app", params=car)
    assert page.status_code == 200
    assert re.search(r'<th scope="row">New ', page.text)
    assert "None" not in shown(page.text)


def test_every_chart_has_a_title_and_a_table(client: TestClient) -> None:
    page = Elements(client.get(ANSWER).text)
    charts = page.of("svg")
    assert len(charts) == 7
    assert len(page.of("table")) >= len(charts)
    ids = [attributes["id"] for _, attributes in page.found if "id" in attributes]
    assert len(ids) == len({*ids})
    assert {one["aria-labelledby"] for one in charts} <= {*ids}
    links = {str(one["href"])[1:] for one in page.of("a") if str(one["href"]).startswith("#")}
    assert links <= {*ids}


def test_the_link_to_an_answer_gives_it_again(client: TestClient) -> None:
    first = client.get(f"{ANSWER}&variant=&color=&confidence=0.8&features=Tpms&features=Bluetooth")
    (link,) = [
        str(one["href"])
        for one in Elements(first.text).of("a")
        if str(one["href"]).startswith("/app?")
    ]
    assert "variant" not in link
    again = client.get(link)
    assert again.text == first.text
    assert "80 of 100 such cars" in shown(again.text)


@pytest.mark.parametrize("typed", ["61 000", "61,000", "61.000", " 61000 ", "6.1e4"])
def test_a_number_may_be_typed_with_groups(client: TestClient, typed: str) -> None:
    told = client.post("/predict", json=BARE).json()["predictedPrice"]
    page = client.get("/app", params={**BARE, "odometer": typed})
    assert f'<p class="worth"><span data-money="{told}"' in page.text


@pytest.mark.parametrize(
    ("changed", "field", "words"),
    [
        ({"odometer": "many"}, "odometer", "Input should be a valid number (found 'many')"),
        ({"year": "1066"}, "year", "greater than or equal to 1900 (found 1066)"),
        ({"make": " "}, "make", "this field is required"),
        ({"askingPrice": "0"}, "askingPrice", "a number above 0"),
        ({"askingPrice": "12,000 EUR"}, "askingPrice", "(found '12,000 EUR')"),
        ({"confidence": "2"}, "confidence", "must be a number from 0.5 to 0.99 (found '2')"),
        ({"yearlyDistance": "-1"}, "yearlyDistance", "must be a number from 0 to 200,000"),
        ({"listedOn": "soon"}, "listedOn", "Input should be a day such as 2024-11-30"),
        ({"year": ["2018", "2019"]}, "year", "is given more than once"),
    ],
)
def test_what_is_wrong_stands_at_its_field(
    client: TestClient, changed: dict[str, Any], field: str, words: str
) -> None:
    page = client.get("/app", params={**CAR, **changed})
    assert page.status_code == 422
    told = re.search(rf'id="f-{field}-error">([^<]*)<', page.text)
    assert told is not None
    assert words in html.unescape(told[1])
    described = [one.get("aria-describedby") for _, one in Elements(page.text).found]
    assert f"f-{field}-error" in described
    assert "data-money" not in page.text


def test_what_is_no_field_is_told_with_the_nearest(client: TestClient) -> None:
    page = client.get(f"{ANSWER}&colour=red")
    assert page.status_code == 422
    assert "'colour': no such field; did you mean color?" in shown(page.text)


def test_a_misspelt_name_is_answered_with_links_to_the_nearest(client: TestClient) -> None:
    page = client.get("/app", params={**CAR, "model": "Cretta"})
    assert "model 'Cretta' was not in the training data" in shown(page.text).replace(
        "Model", "model"
    )
    (link,) = re.findall(r'href="(/app\?[^"]*)">creta<', page.text)
    assert "was not in the training data" not in shown(client.get(html.unescape(link)).text)


@pytest.mark.parametrize("places", [range(-9, 13), [0]])
def test_ticks_lie_around_their_values_and_are_few(places: Iterable[int]) -> None:
    chance = np.random.default_rng(1)
    for place in places:
        for _ in range(200):
            low, high = sorted(chance.uniform(-1, 9.999) * 10.0**place for _ in range(2))
            found = ticks(low, high)
            assert found[0] <= low <= high <= found[-1]
            assert 2 <= len(found) <= 8
    assert len(ticks(5.0, 5.0)) >= 1
    assert len(ticks(0.0, 0.0)) >= 1


HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'; alert(1); '",
    "{{ 7 * 7 }}{% raw %}",
    "</title></svg><script>x</script>",
    "\u202e\u0000x",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_what_is_typed_stays_text(client: TestClient, text: str) -> None:
    plain = {tag for tag, _ in Elements(client.get(ANSWER).text).found}
    for query in (
        {**CAR, "make": text, "model": text, "variant": text, "color": text},
        {text: text},
    ):
        page = client.get("/app", params=query)
        assert page.status_code in (200, 422)
        elements = Elements(page.text)
        assert {tag for tag, _ in elements.found} <= plain | {"li", "ul"}
        names = {name for _, attributes in elements.found for name in attributes}
        assert not {name for name in names if name.startswith("on") or name == "style"}
        assert len(elements.of("script")) == 1
        assert "49" not in "".join(str(one.get("value")) for one in elements.of("input"))[:200]


def test_a_query_is_measured_before_it_is_read(client: TestClient) -> None:
    features = [("features", f"name {number}") for number in range(150)]
    assert client.get(f"{ANSWER}&{urlencode(features)}").status_code == 200
    refused(client.get(f"/app?make={'x' * 9000}"), 422, "invalid-parameter")
    refused(client.get(f"/model?confidence={'9' * 1100}"), 422, "invalid-parameter")
    many = client.get("/app?" + "&".join(["a"] * 500))
    assert (many.status_code, "more than 400 fields" in many.text) == (422, True)


def test_a_policy_without_unsafe_and_nothing_inline(client: TestClient) -> None:
    page = client.get(ANSWER)
    policy = page.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert page.headers["Cache-Control"] == "no-store"
    elements = Elements(page.text)
    assert [one for one in elements.of("script") if not one.get("src")] == []
    assert elements.of("style") == []
    loaded = [str(one["src"]) for one in elements.of("script")]
    loaded += [str(one["href"]) for one in elements.of("link")]
    total = len(page.content)
    for path in loaded:
        assert path.startswith("/app/static/")
        total += len(client.get(path).content)
    names = {path.partition("?")[0].rpartition("/")[2] for path in loaded}
    assert names == {"app.css", "app.js", "icon.svg"} <= static_files().keys()
    assert total < 100_000


def test_a_file_is_kept_by_its_version_and_asked_for_again_without(client: TestClient) -> None:
    (path,) = re.findall(r'"(/app/static/app\.css\?v=[^"]+)"', client.get("/app").text)
    first = client.get(path)
    assert first.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert first.headers["Content-Type"] == "text/css; charset=utf-8"
    etag = {"If-None-Match": first.headers["ETag"]}
    assert client.get(path, headers=etag).status_code == 304
    other = client.get("/app/static/app.css?v=another")
    assert other.headers["Cache-Control"] == "no-cache"
    assert other.content == first.content
    for name in ("none.css", "..%2fform.py", "app.css/x", "%00"):
        refused(client.get(f"/app/static/{name}"), 404, "not-found")


def test_a_browser_gets_the_page_at_the_root_and_health_checks_their_json(
    client: TestClient,
) -> None:
    page = client.get("/", headers=BROWSER)
    assert (page.status_code, "<h1>" in page.text) == (200, True)
    assert "script-src 'self';" in page.headers["Content-Security-Policy"]
    assert "Accept" in page.headers["Vary"]
    elb = {**BROWSER, "User-Agent": "ELB-HealthChecker/2.0"}
    for headers in ({}, {"Accept": "*/*"}, {"Accept": "application/json, text/html"}, elb):
        answer = client.get("/", headers=headers)
        assert answer.json()["status"] == "ok"
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; frame")
    assert client.get("/ready", headers=BROWSER).json()["status"] == "ok"


def test_without_a_model_the_page_says_so(settings: ServiceSettings) -> None:
    with TestClient(create_app(settings)) as client:
        for path in ("/app", ANSWER, "/"):
            page = client.get(path, headers=BROWSER)
            assert (page.status_code, page.headers["Retry-After"]) == (503, "5")
            assert "No prices yet" in page.text
            assert Elements(page.text).of("form") == []


def test_it_can_be_switched_off(client_with: Any) -> None:
    with client_with(pages=False) as client:
        for path in ("/app", "/app/static/app.css"):
            refused(client.get(path), 404, "not-found")
        assert client.get("/", headers=BROWSER).json()["status"] == "ok"
    assert ServiceSettings.from_environment({"CARPRICE_PAGES": "false"}).pages is False


def test_with_keys_nothing_is_priced_without_one(client_with: Any) -> None:
    with client_with(api_keys=f"shop:{hashed(KEY)}") as client:
        page = client.get(ANSWER)
        assert page.status_code == 200
        assert "data-money" not in page.text
        assert 'value="480000"' in page.text
        assert '<form id="key"' in page.text
        assert "needs JavaScript" in page.text or "with JavaScript alone" in page.text
        for path in re.findall(r'"(/app/static/[^"]+)"', page.text):
            assert client.get(path).status_code == 200
        refused(client.get(ANSWER, headers={"X-API-Key": "wrong"}), 401, "unauthorized")
        assert "data-money" in client.get(ANSWER, headers={"X-API-Key": KEY}).text
    with client_with(api_keys=f"shop:{hashed(KEY)}", rate_limit=1) as client:
        asked = [client.get(ANSWER, headers={"X-API-Key": KEY}).status_code for _ in range(2)]
        assert asked == [200, 429]


def test_below_a_prefix_every_address_has_it(client_with: Any) -> None:
    with client_with(root_path="/cars") as client:
        for path in ("/cars/app", "/app", "/cars", "/"):
            elements = Elements(client.get(f"{path}?{urlencode(CAR)}", headers=BROWSER).text)
            addresses = [
                one.get("href") or one.get("src") or one.get("action") for _, one in elements.found
            ]
            ours = [one for one in addresses if one and not one.startswith("#")]
            assert len(ours) >= 7
            assert [
                one for one in ours if not one.startswith(("/cars/app", "/cars/model-card"))
            ] == []
            for one in ours:
                assert client.get(html.unescape(one)).status_code == 200


def test_the_page_and_its_files_are_counted_as_one(client: TestClient) -> None:
    client.get(ANSWER)
    client.get("/app/static/app.js")
    counted = client.get("/metrics").text
    assert 'carprice_requests_total{method="GET",path="/app",status="200"}' in counted
    assert "/app/static" not in counted


@pytest.mark.parametrize(
    ("language", "price"),
    [("de", "INR\xa0480.000"), ("fr-FR", "INR\xa0480\xa0000"), ("en-IN", "INR\xa04,80,000")],
)
def test_numbers_are_grouped_as_the_reader_does(
    client: TestClient, language: str, price: str
) -> None:
    page = client.get(ANSWER, headers={"Accept-Language": f"{language},en;q=0.5"})
    assert f">{price}<" in page.text
    assert ">INR\xa0480,000<" in client.get(ANSWER, headers={"Accept-Language": "x"}).text


def test_a_market_without_distances_asks_for_none(
    settings: ServiceSettings, served: ServedModel
) -> None:
    trained_on = {k: v for k, v in served.model.trained_on.items() if not k.startswith("odometer")}
    without = replace(served, model=replace(served.model, trained_on=trained_on))
    with TestClient(create_app(settings, without)) as client:
        form = client.get("/app").text
        assert 'name="odometer"' not in form
        assert 'name="yearlyDistance"' not in form
        query = {name: value for name, value in CAR.items() if name != "odometer"}
        page = client.get("/app", params=query)
        assert page.status_code == 200
        assert "odometer" not in page.text
        assert "worth" in page.text


def test_the_questions_of_the_page_are_those_of_the_docs(client: TestClient) -> None:
    text = (DOCS / "reading-a-price.md").read_text(encoding="utf-8")
    asked = re.findall(r"^## (.+)\n\n(.+)$", text, re.MULTILINE)
    page = shown(client.get("/app").text)
    assert len(asked) == 12
    for question, answer in asked:
        assert f"{question}\n{answer}\n" in page
        assert answer.count(". ") <= 2


def test_odd_cars_and_the_example_have_a_page(client: TestClient) -> None:
    odd = (
        example_listing(),
        {**BARE, "year": 1985},
        {**BARE, "odometer": 9_000_000, "askingPrice": 1e12},
        {**BARE, "make": "Nobody", "model": "Never Seen", "askingPrice": 0.01},
        {**BARE, "year": 2100, "odometer": 0, "confidence": 0.99},
    )
    for car in odd:
        page = client.get("/app", params=car)
        assert page.status_code == 200, car
        told = client.post("/predict", json={k: v for k, v in car.items() if k != "confidence"})
        assert f'data-money="{told.json()["predictedPrice"]}"' in page.text
        places = re.findall(r' (?:x|y|x1|x2|cx|cy|d|points|width)="([^"]*)"', page.text)
        assert len(places) > 20
        assert not any(word in place for place in places for word in ("nan", "inf", "e+"))
