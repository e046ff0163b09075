"""A real browser that uses the service's page as a person does."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no browser: Chromium is not installed")

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
TOO_WIDE = "() => document.documentElement.scrollWidth - window.innerWidth"
"""By how much a page is wider than its window, pixels."""
PATIENCE = 60_000
"""For how long whatever a page shall show is waited for, milliseconds."""


@contextmanager
def chromium() -> Iterator[Any]:
    """Yield what opens pages, or contexts of them: a browser that asks nobody of its own."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE)
    flags = ["--no-sandbox", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()


def assert_accessible(page: Any) -> None:
    """Fail with what axe-core finds wrong with a page, all of it unfolded."""
    axe_playwright = pytest.importorskip("axe_playwright_python.sync_playwright")
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    options = {"runOnly": {"type": "tag", "values": RULES}}
    answer = axe_playwright.Axe().run(page, options=options).response
    found = [
        (one["id"], [node["html"][:200] for node in one["nodes"]]) for one in answer["violations"]
    ]
    assert found == []
    assert "color-contrast" in {one["id"] for one in answer["passes"]}


def try_a_price_out(url: str) -> None:
    """Ask for a price on the page ``/docs`` of a service; all it loads is below the address."""
    from playwright.sync_api import expect

    with chromium() as browser:
        page = browser.new_page()
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{url}/docs")
        operation = page.locator("[id$='predict_predict_post']").first
        operation.locator(".opblock-summary-control").click()
        operation.get_by_role("button", name="Try it out").click()
        operation.get_by_role("button", name="Execute").click()
        answer = operation.locator(".live-responses-table")
        expect(answer.locator(".response-col_status").last).to_contain_text("200")
        expect(answer.locator(".response-col_description").last).to_contain_text("predictedPrice")
    assert complaints == []
    assert [one for one in asked if not one.startswith((f"{url}/", "data:"))] == []
