"""Draw the picture of the page ``/app`` for the docs: ``app_picture.py ADDRESS FILE``.

It shows the example listing, up to the comparables, as the service at the address answers it.
"""

import io
import sys
from pathlib import Path
from urllib.parse import urlencode

from browser import chromium

from carprice.schema import example_listing

ASKING_PRICE = 480_000
WIDTH = 1000


def draw(url: str, path: Path) -> None:
    """Write the picture, in few colours."""
    from PIL import Image

    query = urlencode({**example_listing(), "askingPrice": ASKING_PRICE}, doseq=True)
    with chromium() as browser:
        page = browser.new_page(viewport={"width": WIDTH, "height": 800}, color_scheme="light")
        page.goto(f"{url}/app?{query}")
        box = page.locator("#comparables-title").bounding_box()
        assert box is not None
        height = box["y"] - 8
        clip = {"x": 0.0, "y": 0.0, "width": float(WIDTH), "height": height}
        drawn = page.screenshot(full_page=True, clip=clip)
    Image.open(io.BytesIO(drawn)).convert("RGB").quantize(64).save(path, optimize=True)


if __name__ == "__main__":
    draw(sys.argv[1].rstrip("/"), Path(sys.argv[2]))
