"""``GET /app`` in a real browser: by keyboard, without JavaScript, on a phone, light and dark."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import pytest
from asking import BARE
from browser import TOO_WIDE, assert_accessible, chromium, needs_browser

from api.keys import hashed

pytestmark = needs_browser
KEY = "a-key-of-the-tests"
FIELDS = ("make", "model", "variant", "year", "odometer", "askingPrice")
CAR = {**BARE, "variant": "SX 1.6 CRDI", "askingPrice": 480_000}
ANSWER = f"/app?{urlencode(CAR)}"
WRONG = "/app?make=Marutti&year=abc"
FOCUS = """() => {
    const one = document.activeElement, style = getComputedStyle(one);
    return [one.id || one.textContent.trim(), style.outlineStyle, parseFloat(style.outlineWidth)];
}"""


@dataclass
class Visit:
    """A page of a browser, what it asked for, and what it complained of."""

    page: Any
    url: str
    asked: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


Visiting = Callable[..., AbstractContextManager[Visit]]


@pytest.fixture(scope="module")
def visit(running: Any) -> Iterator[Visiting]:
    """Opens a page of the running service; nothing is asked of another host, or complained of."""
    with chromium() as browser:

        @contextmanager
        def visiting(url: str = running.url, **options: Any) -> Iterator[Visit]:
            context = browser.new_context(**options)
            visit = Visit(context.new_page(), url)
            visit.page.on("request", lambda request: visit.asked.append(request.url))
            visit.page.on("console", lambda message: visit.complaints.append(message.text))
            visit.page.on("pageerror", lambda error: visit.complaints.append(str(error)))
            yield visit
            context.close()
            assert visit.complaints == []
            assert [one for one in visit.asked if not one.startswith(f"{url}/")] == []

        yield visiting


def test_a_car_is_priced_by_keyboard_alone(visit: Visiting) -> None:
    from playwright.sync_api import expect

    with visit() as visited:
        page, keyboard = visited.page, visited.page.keyboard
        page.goto(f"{visited.url}/app")
        keyboard.press("Tab")
        assert page.evaluate(FOCUS)[0] == "Skip to the content"
        keyboard.press("Enter")
        expect(page.locator("#main")).to_be_focused()
        for name in FIELDS:
            keyboard.press("Tab")
            focused, style, width = page.evaluate(FOCUS)
            assert (focused, style, width >= 2) == (f"f-{name}", "solid", True)
            keyboard.type(str(CAR[name]))
        known = page.locator("#known-variant option")
        assert known.count() > 1
        assert "hyundai" in page.locator("#known-make").inner_html()
        keyboard.press("Enter")
        expect(page.locator("#answer-title")).to_be_focused()
        expect(page.locator("#answer-title")).to_contain_text("2018 Hyundai Creta")
        expect(page.locator("#status")).to_contain_text(" between ")
        assert "askingPrice=480000" in page.url
        for _ in range(30):  # all that is wider than the page can be reached, and scrolled
            keyboard.press("Tab")
            if page.evaluate("document.activeElement.classList.contains('comparables')"):
                break
        else:
            pytest.fail("the comparables cannot be reached")
        page.click("text=What does the range mean?")
        assert page.url.endswith("#q-range")
        page.go_back()
        assert len([one for one in visited.asked if "askingPrice" in one]) == 1
        page.go_back()
        expect(page.locator("#answer-title")).to_have_count(0)
        page.go_forward()
        expect(page.locator("#answer-title")).to_have_count(1)


def test_it_works_without_javascript(visit: Visiting) -> None:
    with visit(java_script_enabled=False, viewport={"width": 320, "height": 700}) as visited:
        page = visited.page
        page.goto(f"{visited.url}/app")
        for name, text in CAR.items():
            page.fill(f"#f-{name}", str(text))
        page.click("button")
        assert "2018 Hyundai Creta" in page.inner_text("#answer-title")
        assert page.locator("svg").count() >= 5
        assert "INR" in page.inner_text(".worth")
        page.click("text=What does the range mean?")
        assert page.url.endswith("#q-range")


@pytest.mark.parametrize(("width", "scheme"), [(320, "light"), (320, "dark"), (1280, "light")])
def test_axe_finds_nothing_and_nothing_is_too_wide(
    visit: Visiting, width: int, scheme: str
) -> None:
    view = {"width": width, "height": 800}
    with visit(viewport=view, color_scheme=scheme) as visited:
        page = visited.page
        for path in (ANSWER, WRONG):
            page.goto(visited.url + path)
            assert_accessible(page)
            assert page.evaluate(TOO_WIDE) <= 0, path
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (paper == "rgb(255, 255, 255)") == (scheme == "light")
        # Chromium tells of every answer above 399 on its console.
        visited.complaints[:] = [one for one in visited.complaints if "status of 422" not in one]


def test_what_is_wrong_is_focused_and_told(visit: Visiting) -> None:
    from playwright.sync_api import expect

    with visit() as visited:
        page = visited.page
        page.goto(visited.url + ANSWER)
        page.fill("#f-odometer", "many")
        page.click("text=Price this car")
        expect(page.locator("#f-odometer")).to_be_focused()
        expect(page.locator("#f-odometer-error")).to_contain_text("found 'many'")
        expect(page.locator("#status")).to_contain_text("cannot be priced yet")
        assert page.input_value("#f-make") == "Hyundai"
        page.fill("#f-odometer", "<img src=x onerror=alert(1)>")
        page.keyboard.press("Enter")
        expect(page.locator("#f-odometer-error")).to_contain_text("onerror")
        assert page.locator("img").count() == 0
        visited.complaints[:] = [one for one in visited.complaints if "status of 422" not in one]


def test_numbers_are_written_in_the_readers_locale(visit: Visiting) -> None:
    for locale, words in (("de-DE", "480.000\xa0₹"), ("en-IN", "₹4,80,000")):
        with visit(locale=locale) as visited:
            visited.page.goto(visited.url + ANSWER)
            assert words in visited.page.inner_text("#answer")


def test_with_keys_the_page_asks_for_one_and_keeps_it_for_the_tab(
    visit: Visiting, start: Any
) -> None:
    from playwright.sync_api import expect

    with start(CARPRICE_API_KEYS=f"shop:{hashed(KEY)}") as server:
        with visit(server.url) as visited:
            page = visited.page
            page.goto(server.url + ANSWER)
            expect(page.locator("#answer")).to_contain_text("once a valid API key is given")
            assert_accessible(page)
            page.fill("#api-key", "wrong")
            page.click("text=Use this key")
            expect(page.locator("#key-error")).to_have_text("This key is not valid.")
            visited.complaints[:] = [one for one in visited.complaints if "of 401" not in one]
            page.fill("#api-key", KEY)
            page.keyboard.press("Enter")
            expect(page.locator("#answer-title")).to_be_focused()
            assert KEY not in page.url
            page.reload()
            expect(page.locator("#answer-title")).to_be_visible()
            page.fill("#f-make", "Hyundai")
            page.focus("#f-model")
            expect(page.locator("#known-model option").first).to_be_attached()
        with visit(server.url, java_script_enabled=False) as visited:
            visited.page.goto(server.url + ANSWER)
            assert "asks for an API key" in visited.page.inner_text("main")
            assert not visited.page.locator("#api-key").is_visible()
        assert KEY not in server.log.read_text()
