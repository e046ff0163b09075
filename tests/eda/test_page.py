import re
import shutil
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
SIZES = """() => [...document.querySelectorAll("svg, img, svg image")].map(one => {
    const box = one.getBoundingClientRect();
    return [box.width, box.height];
})"""
LONGEST_LINE = "() => document.documentElement.scrollWidth - window.innerWidth"


def brightness(page: Any, name: str) -> int:
    colour = page.evaluate(f"() => getComputedStyle(document.body).{name}")
    return sum(map(int, re.findall(r"\d+", colour)))


@pytest.mark.skipif(CHROMIUM is None, reason="no browser: Chromium is not installed")
@pytest.mark.parametrize(
    ("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light")], ids=str
)
def test_a_browser_shows_every_chart_and_asks_nobody(
    sample_page: str, tmp_path: Path, width: int, scheme: Any
) -> None:
    from playwright.sync_api import sync_playwright

    path = tmp_path / "eda.html"
    path.write_text(sample_page, encoding="utf-8")
    flags = ["--no-sandbox", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
        asked: list[str] = []
        page.route(
            lambda url: not url.startswith(("file:", "data:")),
            lambda route: (asked.append(route.request.url), route.abort()),
        )
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(path.as_uri())
        sizes = page.evaluate(SIZES)
        too_wide = page.evaluate(LONGEST_LINE)
        ink, paper = (brightness(page, name) for name in ("color", "backgroundColor"))
        browser.close()
    assert asked == []
    assert complaints == []
    assert len(sizes) >= 9
    assert all(width > 50 and height > 50 for width, height in sizes)
    assert too_wide <= 0
    assert (ink < paper) == (scheme == "light")
