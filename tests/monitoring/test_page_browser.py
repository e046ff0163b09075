"""The page of ``carprice monitor`` in a real browser: light, dark, on a phone, without scripts."""

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import TOO_WIDE, assert_accessible, chromium, needs_browser
from monitored import found

from carprice.monitoring.page import page

pytestmark = needs_browser
NOW = datetime.datetime(2026, 9, 29, 6, 0, tzinfo=datetime.UTC)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@pytest.mark.parametrize(("width", "scheme"), [(320, "light"), (320, "dark"), (1280, "light")])
def test_axe_finds_nothing_and_nothing_is_too_wide(
    browser: Any, tmp_path: Path, width: int, scheme: str
) -> None:
    path = tmp_path / "monitoring.html"
    path.write_text(page(found(), NOW), encoding="utf-8")
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    opened, asked, complaints = context.new_page(), [], []
    opened.on("request", lambda request: asked.append(request.url))
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("dialog", lambda dialog: complaints.append(dialog.message))
    opened.goto(path.as_uri())
    assert_accessible(opened)
    assert opened.evaluate(TOO_WIDE) <= 0
    paper = opened.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") == (scheme == "light")
    shapes = opened.locator("svg.chart polyline, svg.chart rect.bar")
    assert shapes.count() >= 6
    assert all(shapes.nth(place).bounding_box() is not None for place in range(shapes.count()))
    assert [one for one in asked if one != path.as_uri() and not one.startswith("data:")] == []
    assert complaints == []
    context.close()
