"""Draw the evaluation as one picture, from the same tables that DVC plots."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from carprice.evaluation.fonts import drawable, families_for

BLUE: Final = "#2b6cb0"
GREY: Final = "#718096"
"""The colours of every picture: the data, and what they are compared with."""


def draw_evaluation(
    tables: Mapping[str, pd.DataFrame], figures: Mapping[str, Any], currency: str, path: Path
) -> None:
    """Draw predictions, errors by segment, coverage and importance into one PNG.

    A name with letters that no installed font has is drawn as its row's number in the table.
    """
    names = [*tables["error_by_make"]["make"], *tables["importance"]["feature"], currency]
    families = families_for(map(str, names))
    with mpl.rc_context({"font.family": families, "text.parse_math": False}):
        _draw(tables, figures, drawable(currency, "the market's currency", families), path)


def _draw(
    tables: Mapping[str, pd.DataFrame], figures: Mapping[str, Any], currency: str, path: Path
) -> None:
    figure = Figure(figsize=(13, 8), layout="constrained")
    axes = figure.subplots(2, 3)
    figure.suptitle(
        f"MAPE {figures['mape']:.1f} %, MdAPE {figures['mdape']:.1f} %, "
        f"{figures['within_10']:.0f} % within ±10 %, ranges cover {figures['coverage']:.1f} % "
        f"of {figures['cars']:,} cars"
    )
    _predictions(axes[0, 0], tables["predictions"], currency)
    _bars(axes[0, 1], tables["error_by_price_decile"], "decile", "mdape", "MdAPE by price decile")
    _bars(axes[0, 2], tables["error_by_age_band"], "age_band", "mdape", "MdAPE by age, years")
    _barh(axes[1, 0], tables["error_by_make"], "make", "mdape", "MdAPE by make")
    covered, title = tables["coverage_by_age_band"], "Prices inside the range by age, years"
    _bars(axes[1, 1], covered, "age_band", "coverage", title)
    axes[1, 1].axhline(100 * figures["confidence"], color=GREY, linestyle="--")
    axes[1, 1].set_ylim(0, 105)
    _barh(axes[1, 2], tables["importance"], "feature", "gain", "Share of the trees' gain")
    write_png(figure, path, dpi=80)


def write_png(figure: Figure, path: Path, dpi: int) -> None:
    """Write a picture. ``savefig`` writes the same bytes, and draws everything twice."""
    figure.dpi = dpi
    FigureCanvasAgg(figure).print_png(path, metadata={"Software": None})  # type: ignore[no-untyped-call]


def _predictions(axes: Axes, table: pd.DataFrame, currency: str) -> None:
    axes.scatter(table["actual"], table["predicted"], s=5, alpha=0.4, color=BLUE)
    ends = [table.to_numpy().min(), table.to_numpy().max()]
    axes.plot(ends, ends, color=GREY, linewidth=1)
    axes.set(xscale="log", yscale="log", title="Predicted against asked")
    axes.set(xlabel=f"asked, {currency}", ylabel=f"predicted, {currency}")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.tick_params(axis="x", labelrotation=30)


def _bars(axes: Axes, table: pd.DataFrame, name: str, figure: str, title: str) -> None:
    bars = axes.bar(table[name], table[figure], color=BLUE)
    axes.bar_label(bars, fmt="%.1f", fontsize=7)
    axes.set(title=title, ylabel="%")


def _barh(axes: Axes, table: pd.DataFrame, name: str, figure: str, title: str) -> None:
    families = mpl.rcParams["font.family"]
    names = [
        drawable(str(text), f"{name} {row}", families)
        for row, text in enumerate(table[name], start=1)
    ]
    axes.barh(range(len(names)), table[figure][::-1], tick_label=names[::-1], color=BLUE)
    axes.set_title(title)
    if names != [*map(str, table[name])]:
        file = "error_by_make" if name == "make" else "importance"
        told = f"{name} 1, 2 …: no font here has the name;\nrows of reports/plots/{file}.csv"
        axes.set_xlabel(told, fontsize=7)
    axes.tick_params(axis="y", labelsize=7)
