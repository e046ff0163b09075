"""The card of the served model: what it tells, whom it tells it, and what it needs for that."""

import re
from dataclasses import replace
from html import unescape
from typing import Any

import pytest
from browser import chromium, needs_browser
from fastapi.testclient import TestClient

from api.app import create_app
from api.keys import hashed
from api.served import ServedModel
from api.service_settings import ServiceSettings
from carprice.errors import InputError
from carprice.model import PriceModel
from carprice.model.segments import Segments

KEY = "k" * 43


def text_of(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", html)).split())


def card(model: PriceModel, settings: ServiceSettings, **change: Any) -> str:
    changed = ServedModel.of(replace(model, **change), "7", source="image")
    with TestClient(create_app(settings, changed)) as client:
        answer = client.get("/model-card")
        assert answer.status_code == 200
        return answer.text


def test_the_card_tells_what_the_model_folder_holds(client: TestClient, model: PriceModel) -> None:
    answer = client.get("/model-card")
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    told = text_of(answer.text)
    for text in (
        "used-car-price, version 7",
        model.digest,
        model.market.data_digest,
        model.market.valuation_date.isoformat(),
        f"MAPE mean absolute error {model.metrics['mape']:.2f} %",
        f"numpy {model.libraries['numpy']}",
        f"A listing of each of {len(model.listings or ()):,} training cars is kept",
    ):
        assert text in told, text
    rows, mape = model.segments.errors["maruti"][""]
    assert f"maruti {rows:,} {mape:.1f} %" in told
    assert model.deal is not None
    assert f"older than {model.deal.oldest:g} years" in told


def test_a_model_of_before_tells_what_it_lacks(
    model: PriceModel, settings: ServiceSettings
) -> None:
    lacks: dict[str, Any] = dict.fromkeys(("deal", "learned", "listings"))
    told = text_of(card(model, settings, **lacks, segments=Segments(), usual_ranges={}, metrics={}))
    for text in (
        "does not tell its errors by make and age",
        "judges no asking prices",
        "No listings are kept; there are no comparables.",
    ):
        assert text in told


def test_texts_of_a_model_are_shown_as_texts(model: PriceModel, settings: ServiceSettings) -> None:
    evil = "<script>alert(1)</script>{x}"
    html = card(
        model,
        settings,
        importance={evil: 0.5},
        trained_on={**model.trained_on, evil: (0.0, 1.0)},
        segments=Segments({evil: {"": (60, 5.0)}, f"a|{evil}": {"": (60, 5.0)}}),
        libraries={evil: evil},
    )
    assert "<script>alert" not in html
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;{x}") == 6


def test_its_policy_allows_nothing_inline_and_no_other_host(client: TestClient) -> None:
    for path in ("/model-card", "/app/stock"):
        answer = client.get(path)
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; ")
        assert not re.search(r"unsafe|data:|https?:|\*", policy)
        assert not re.search(r"\sstyle=|\son[a-z]+=|<style|<script(?![^>]* src=)", answer.text)
        loaded = re.findall(r'(?:src|rel="(?:icon|stylesheet)" href)="([^"]+)"', answer.text)
        assert len(loaded) > 1
        weight = len(answer.content)
        for one in loaded:
            file = client.get(one)
            assert file.status_code == 200
            assert file.headers.get_list("Cache-Control") == ["public, max-age=31536000, immutable"]
            weight += len(file.content)
        assert weight < 100_000
    assert client.get("/app/static/nothing.css").status_code == 404
    assert client.get("/app/static/..%2Frendering.py").status_code == 404


def test_below_a_prefix_all_addresses_have_it(client_with: Any) -> None:
    with client_with(root_path="/cars") as client:
        for path in ("/cars/model-card", "/model-card", "/cars/app/stock"):
            links = re.findall(r'(?:src|href|data-batch)="([^"#]+)"', client.get(path).text)
            assert links
            assert all(one.startswith("/cars/") for one in links)
    with pytest.raises(InputError, match="model-card is a path of the service itself"):
        ServiceSettings.from_environment({}, root_path="/model-card")


def test_without_a_model_the_pages_say_why(settings: ServiceSettings) -> None:
    with TestClient(create_app(settings)) as client:
        for path in ("/model-card", "/app/stock"):
            answer = client.get(path)
            assert answer.status_code == 503
            assert answer.headers["Retry-After"] == "5"
            assert answer.headers["Content-Type"].startswith("text/html")
            assert "no model to price with" in answer.text


def test_the_pages_can_be_switched_off(client_with: Any) -> None:
    with client_with(pages=False) as client:
        for path in ("/model-card", "/app/stock", "/app/static/reports.css"):
            assert client.get(path).status_code == 404
    found = ServiceSettings.from_environment({"CARPRICE_PAGES": "false"})
    assert not found.pages


def test_where_keys_are_on_the_card_is_for_those_who_have_one(
    client_with: Any, model: PriceModel
) -> None:
    with client_with(api_keys=f"shop:{hashed(KEY)}") as client:
        page = client.get("/model-card")
        assert page.status_code == 401
        assert model.digest not in page.text
        assert 'type="password"' in page.text
        assert client.get("/model-card", headers={"X-API-Key": "wrong"}).status_code == 401
        assert model.digest in client.get("/model-card", headers={"X-API-Key": KEY}).text
        assert 'type="password"' in client.get("/app/stock").text
        assert client.get("/app/static/card_key.js").status_code == 200
        for path in ("/model-cards", "/model", "/predict/batch"):
            assert client.get(path).status_code == 401


@needs_browser
def test_a_browser_asks_for_the_key_and_shows_the_card(start: Any, model: PriceModel) -> None:
    from playwright.sync_api import expect

    with start(CARPRICE_API_KEYS=f"shop:{hashed(KEY)}") as server, chromium() as browser:
        page = browser.new_page(viewport={"width": 320, "height": 800})
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda message: faults.append(message.text))
        page.goto(f"http://127.0.0.1:{server.port}/model-card")
        page.get_by_label("Key").fill("wrong")
        page.get_by_role("button", name="Show the card").click()
        expect(page.get_by_role("status")).to_contain_text("send a valid key")
        page.get_by_label("Key").fill(KEY)
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_contain_text("Model card: used-car-price")
        assert model.digest in page.locator("main").inner_text()
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 320
        assert all("401" in fault for fault in faults)  # the browser's own word on both refusals
