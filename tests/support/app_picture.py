"""Draw the pictures of the pages for the docs: ``app_picture.py ADDRESS FOLDER``.

``app.png`` shows the example listing, up to the comparables, as the service at the address answers
it; ``app-dark.png`` the rest of that page, in the dark; ``app-stock.png`` a stock that is priced.
"""

import io
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from browser import chromium

from carprice.sample.market import generate
from carprice.schema import example_listing

ASKING_PRICE = 480_000
WIDTH = 1000
CARS = 2_000


def draw(url: str, folder: Path) -> None:
    """Write the pictures."""
    query = urlencode({**example_listing(), "askingPrice": ASKING_PRICE}, doseq=True)
    with chromium() as browser:
        page = browser.new_page(viewport={"width": WIDTH, "height": 800}, color_scheme="light")
        page.goto(f"{url}/app?{query}")
        write(page, folder / "app.png", 0.0, top_of(page, "#comparables-title"))
        page.emulate_media(color_scheme="dark")
        ends = (top_of(page, one) for one in ("#comparables-title", "#basis-title"))
        write(page, folder / "app-dark.png", *ends)
        page.emulate_media(color_scheme="light")
        page.goto(f"{url}/app/stock")
        stock = generate(CARS, 11).to_csv(index=False).encode()
        file = {"name": "stock.csv", "mimeType": "text/csv", "buffer": stock}
        page.get_by_label("Listings").set_input_files(file)
        page.get_by_role("button", name="Price them").click()
        page.get_by_role("heading", name="The stock").wait_for()
        ages = page.get_by_role("region", name="Medians by age")
        write(page, folder / "app-stock.png", 0.0, top_of(page, ages))


def top_of(page: Any, place: Any) -> float:
    """Return where something begins on the page, less a small gap."""
    box = (page.locator(place) if isinstance(place, str) else place).bounding_box()
    assert box is not None
    return float(box["y"] + page.evaluate("scrollY")) - 8


def write(page: Any, path: Path, top: float, bottom: float) -> None:
    """Write what stands between two heights of a page, in few colours."""
    from PIL import Image

    clip = {"x": 0.0, "y": top, "width": float(WIDTH), "height": bottom - top}
    drawn = page.screenshot(full_page=True, clip=clip)
    Image.open(io.BytesIO(drawn)).convert("RGB").quantize(64).save(path, optimize=True)


if __name__ == "__main__":
    draw(sys.argv[1].rstrip("/"), Path(sys.argv[2]))
