"""A real browser that uses the service's page as a person does."""

import shutil

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no browser: Chromium is not installed")


def try_a_price_out(url: str) -> None:
    """Ask for a price on the page ``/docs`` of a service; all it loads is below the address."""
    from playwright.sync_api import expect, sync_playwright

    flags = ["--no-sandbox", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
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
        browser.close()
    assert complaints == []
    assert [one for one in asked if not one.startswith((f"{url}/", "data:"))] == []
