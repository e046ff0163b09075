"""The picture of an evaluation, for names in any script."""

import warnings
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import pandas as pd
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from matplotlib.figure import Figure

from carprice.evaluation import fonts, plots
from carprice.evaluation.fonts import PLAIN, drawable, families_for
from carprice.evaluation.plots import draw_evaluation

NAMES = ["大众", "トヨタ", "현대", "تويوتا", "โตโยต้า", "टाटा", "Škoda", "Лада", "A$AP$", "🚗"]
OF_THE_FONT = "大众丰田"
FIGURES = {"mape": 9, "mdape": 7, "within_10": 60, "coverage": 90, "confidence": 0.9, "cars": 9}


def tables(names: list[str]) -> dict[str, pd.DataFrame]:
    figures = [float(n + 1) for n in range(len(names))]
    by = {"rows": figures, "mdape": figures, "coverage": figures}
    return {
        "predictions": pd.DataFrame({"actual": [1.0, 2.0], "predicted": [1.0, 3.0]}),
        "error_by_price_decile": pd.DataFrame({"decile": figures, **by}),
        "error_by_age_band": pd.DataFrame({"age_band": figures, **by}),
        "coverage_by_age_band": pd.DataFrame({"age_band": figures, **by}),
        "error_by_make": pd.DataFrame({"make": names, **by}),
        "importance": pd.DataFrame({"feature": [f"color={n}" for n in names], "gain": figures}),
    }


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Return a function that draws names, warnings being errors, and returns what is drawn."""

    def draw(names: list[str], currency: str = "CNY") -> list[str]:
        seen: list[Figure] = []
        write = plots.write_png
        monkeypatch.setattr(
            plots,
            "write_png",
            lambda figure, *a, **k: (seen.append(figure), write(figure, *a, **k)),
        )
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            draw_evaluation(
                tables(names), {**FIGURES, "rows_test": 100}, currency, tmp_path / "picture.png"
            )
        axes = seen[0].axes
        return [
            *(label.get_text() for label in axes[3].get_yticklabels()[::-1]),
            axes[3].get_xlabel(),
            axes[0].get_xlabel(),
            *(label.get_text() for label in axes[5].get_yticklabels()[::-1]),
        ]

    return draw


@pytest.fixture
def no_other_font(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave only the font that comes with Matplotlib."""
    monkeypatch.setattr(fonts, "_installed", lambda: [])


def test_names_that_no_font_has_are_numbered_as_in_the_table(drawn, no_other_font) -> None:
    found = drawn(NAMES, "元")
    hidden = {1, 2, 3, 5, 6, 10}
    shown = [f"make {n}" if n in hidden else name for n, name in enumerate(NAMES, start=1)]
    assert found[: len(NAMES)] == shown
    assert found[len(NAMES)].endswith("rows of reports/plots/error_by_make.csv")
    assert found[len(NAMES) + 1] == "asked, the market's currency"
    assert found[len(NAMES) + 2] == "feature 1"
    assert found[-2] == "color=A$AP$"


def test_names_that_the_usual_font_has_are_drawn_as_before(drawn, no_other_font) -> None:
    found = drawn(["Kia", "Škoda"])
    assert found[:4] == ["Kia", "Škoda", "", "asked, CNY"]


@pytest.fixture
def chinese_font(tmp_path: Path) -> Iterator[str]:
    """Install a font that has four Chinese letters."""
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    pen.lineTo((500, 0))
    pen.lineTo((500, 500))
    pen.closePath()
    glyph, names = pen.glyph(), [f"uni{ord(sign):04X}" for sign in OF_THE_FONT]
    font = FontBuilder(1000)
    font.setupGlyphOrder([".notdef", *names])
    font.setupCharacterMap(dict(zip(map(ord, OF_THE_FONT), names, strict=True)))
    font.setupGlyf(dict.fromkeys([".notdef", *names], glyph))
    font.setupHorizontalMetrics(dict.fromkeys([".notdef", *names], (600, 0)))
    font.setupHorizontalHeader(ascent=800, descent=-200)
    font.setupNameTable({"familyName": "Four Signs", "styleName": "Regular"})
    font.setupOS2(usWeightClass=400)
    font.setupPost()
    font.save(tmp_path / "four.ttf")
    known = [*font_manager.fontManager.ttflist]
    font_manager.fontManager.addfont(tmp_path / "four.ttf")
    yield "Four Signs"
    font_manager.fontManager.ttflist = known
    fonts._signs_of.cache_clear()


def test_an_installed_font_draws_what_the_usual_one_lacks(drawn, chinese_font: str) -> None:
    assert families_for(["大众 Golf"]) == [PLAIN, chinese_font]
    assert families_for(["Golf"]) == [PLAIN]
    found = drawn(["大众", "Kia", "丰田"])
    assert found[:4] == ["大众", "Kia", "丰田", ""]
    assert drawable("大众x", "-", [PLAIN, chinese_font]) == "大众x"
    assert drawable("大众車", "-", [PLAIN, chinese_font]) == "-"
    assert mpl.rcParams["font.family"] != [PLAIN, chinese_font]
