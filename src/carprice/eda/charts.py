"""The charts of the page, as SVG inside the HTML that takes its colours from the page."""

import functools
import hashlib
import re
import warnings
from collections.abc import Callable, Sequence
from io import StringIO
from typing import Any, Final, Literal, ParamSpec

import matplotlib as mpl
import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import LinearSegmentedColormap, to_rgba
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, LogLocator, MaxNLocator, NullFormatter

from carprice.arrays import Floats
from carprice.eda.assessment import shortened
from carprice.eda.distributions import QUANTILES, NumberSummary, Relation
from carprice.eda.drift import Drift
from carprice.eda.outliers import Outliers
from carprice.evaluation.plots import BLUE, GREY
from carprice.listings.leaks import MOST_EXPLAINED, Suspect
from carprice.schema import alias

_INK: Final = "#1a202c"
_GRID: Final = "#e2e8f0"
_RED: Final = "#c05621"
_VARIABLES: Final = {BLUE: "blue", GREY: "grey", _INK: "ink", _GRID: "grid", _RED: "red"}
_WIDE: Final = 7.6
_NARROW: Final = 0.95 * _WIDE
_NARROW_RANGE: Final = 4.0
_STYLE: Final[dict[Any, Any]] = {
    "axes.axisbelow": True,
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "axes.labelcolor": _INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": _INK,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "figure.constrained_layout.use": True,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "grid.color": _GRID,
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "legend.labelcolor": _INK,
    "svg.fonttype": "none",
    "svg.hashsalt": "carprice",
    "text.color": _INK,
    "text.parse_math": False,
    "xtick.color": GREY,
    "xtick.labelcolor": _INK,
    "ytick.color": GREY,
    "ytick.labelcolor": _INK,
}
_MEDIAN: Final = QUANTILES.index(0.5)
_DEAREST: Final = QUANTILES.index(0.99)

P = ParamSpec("P")


def _drawn(draw: Callable[P, Figure]) -> Callable[P, Markup]:
    """Draw in the page's style, and return the figure as an ``<svg>`` element for HTML."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Markup:
        with mpl.rc_context(_STYLE), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing from")
            return _svg(draw(*args, **kwargs))

    return drawn


def short(value: float) -> str:
    """Write a number as an axis does.

    Examples
    --------
    >>> [short(value) for value in (0.5, 950.0, 1500.0, 50_000.0, 2_500_000.0, 3e9)]
    ['0.5', '950', '1.5k', '50k', '2.5M', '3,000M']
    """
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if abs(value) >= size:
            return f"{float(f'{value / size:.3g}'):,g}{unit}"
    return f"{value:g}"


@_drawn
def price_chart(look: NumberSummary) -> Figure:
    """Draw histograms of the prices on a plain and on a logarithmic axis."""
    label, middle, end = f"price, {look.unit}", look.quantiles[_MEDIAN], look.quantiles[_DEAREST]
    figure = Figure((_WIDE, 2.9))
    plain, logged = figure.subplots(1, 2)
    _histogram(plain, look.values[look.values <= end], np.linspace(0, max(end, 1e-9), 41), middle)
    plain.set_title("Prices, up to the dearest 1 %")
    _style(plain.xaxis, label)
    low, high = _widened(look.quantiles[0], look.quantiles[-1])
    _histogram(logged, look.values, np.geomspace(low, high, 41), middle)
    logged.set_title("The same on a logarithmic axis")
    _price_axis(logged, "x", low, high, label)
    for axes in (plain, logged):
        _style(axes.yaxis, "listings")
    return figure


@_drawn
def number_chart(looks: Sequence[NumberSummary]) -> Figure:
    """Draw histograms of the other numbers, up to their 99 % quantile."""
    rows = -(-len(looks) // 2)
    figure = Figure((_WIDE, 2.3 * rows))
    grid = figure.subplots(rows, 2, squeeze=False).ravel()
    for axes, look in zip(grid, looks, strict=False):
        low, high = look.quantiles[0], look.quantiles[_DEAREST]
        if high - low <= 60 and np.all(look.values == np.round(look.values)):
            high += 1
            edges = np.arange(low, high + 1) - 0.5
        else:
            high = max(high, low + 1e-9)
            edges = np.linspace(low, high, 41)
        _histogram(axes, look.values[look.values <= high], edges, look.quantiles[_MEDIAN])
        _style(axes.xaxis, f"{look.name}, {look.unit}" if look.unit else look.name)
        _style(axes.yaxis, "listings")
    for axes in grid[len(looks) :]:
        axes.set_axis_off()
    return figure


@_drawn
def relation_chart(found: Relation, currency: str) -> Figure:
    """Draw how the price follows a number: density of the listings, and quantiles of the price."""
    left, right, bottom, top = found.extent
    figure = Figure((_NARROW, 3.6))
    axes = figure.subplots()
    rows, columns = found.density.shape
    axes.pcolormesh(
        np.linspace(left, right, columns + 1),
        np.geomspace(bottom, top, rows + 1),
        np.sqrt(found.density),
        cmap=LinearSegmentedColormap.from_list(
            "shades", [to_rgba(BLUE, share) for share in (0.0, 0.15, 0.6)]
        ),
        rasterized=True,
    )
    for shares, style, name in (
        ((0.05, 0.95), ":", "5 % and 95 %"),
        ((0.25, 0.75), "--", "25 % and 75 %"),
        ((0.5,), "-", "median"),
    ):
        for share in shares:
            axes.plot(
                found.bands[share],
                linestyle=style,
                color=_INK if name == "median" else GREY,
                linewidth=1.8 if name == "median" else 1.1,
                label=name if share <= 0.5 else None,
            )
    _price_axis(axes, "y", bottom, top, f"price, {currency}")
    _style(axes.xaxis, f"{found.name}, {found.unit}")
    if len(found.bands):
        _legend_above(axes)
    axes.set_xlim(left, right)
    return figure


@_drawn
def names_chart(bands: pd.DataFrame, currency: str) -> Figure:
    """Draw the prices of makes or models: median, quartiles, 5 % and 95 %."""
    bands = bands.sort_values(0.5, kind="stable")
    places = np.arange(len(bands))
    figure = Figure((_NARROW, 0.7 + 0.21 * len(bands)))
    axes = figure.subplots()
    axes.hlines(places, bands[0.05], bands[0.95], color=GREY, linewidth=1)
    axes.hlines(places, bands[0.25], bands[0.75], color=BLUE, linewidth=6, alpha=0.55)
    axes.plot(bands[0.5], places, "o", color=_INK, markersize=4)
    low, high = bands[0.05].min() / 1.08, bands[0.95].max() * 1.08
    _price_axis(axes, "x", low, high, f"price, {currency}")
    axes.set_ylim(-0.7, len(bands) - 0.3)
    names = [f"{shortened(name, 28)} ({rows:,})" for name, rows in bands["rows"].items()]
    axes.set_yticks(places, names)
    axes.tick_params(axis="y", length=0, labelsize=8)
    axes.grid(axis="y", visible=False)
    return figure


@_drawn
def suspects_chart(known_by: Sequence[Suspect]) -> Figure:
    """Draw how much of like cars' price differences each field explains."""
    names = [alias(one.field) for one in known_by[::-1]]
    shares = [one.explained for one in known_by[::-1]]
    figure = Figure((_NARROW, 0.8 + 0.22 * len(shares)))
    axes = figure.subplots()
    colours = [_RED if share >= MOST_EXPLAINED else BLUE for share in shares]
    bars = axes.barh(names, [100 * share for share in shares], color=colours, height=0.65)
    axes.bar_label(bars, fmt="%.1f %%", padding=3, fontsize=8)
    axes.axvline(100 * MOST_EXPLAINED, color=_RED, linestyle="--", linewidth=1)
    axes.set_xlim(0, 105)
    _style(axes.xaxis, "share of like cars' price differences, %")
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    return figure


@_drawn
def twins_chart(differences: Floats) -> Figure:
    """Draw by how much near-twins differ in price."""
    percent = 100 * np.expm1(differences)
    middle, end = float(np.median(percent)), float(max(np.quantile(percent, 0.97), 1.0))
    figure = Figure((_NARROW, 2.6))
    axes = figure.subplots()
    _histogram(axes, percent[percent <= end], np.linspace(0, end, 51), middle)
    _style(axes.xaxis, "the dearer twin costs more by, %")
    _style(axes.yaxis, "pairs")
    axes.set_xlim(0, end)
    return figure


@_drawn
def outliers_chart(outliers: Outliers) -> Figure:
    """Draw which share of the squared error comes from how many cars."""
    curve = 100 * outliers.curve
    figure = Figure((_NARROW, 2.6))
    axes = figure.subplots()
    axes.plot(np.arange(1, len(curve) + 1), curve, color=BLUE, linewidth=1.8)
    axes.plot(1, curve[0], "o", color=_RED, markersize=6)
    told = [f"{n:,} cars {curve[n - 1]:.0f} %" for n in (10, 100, 1000) if n <= len(curve)]
    title = ", ".join([f"One car makes {curve[0]:.0f} %", *told])
    axes.set(title=title, xscale="log", ylim=(0, 100))
    _style(axes.xaxis, "cars of the largest errors")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    _style(axes.yaxis, "share of the squared error, %")
    return figure


@_drawn
def drift_chart(drift: Drift, currency: str) -> Figure:
    """Draw the price of cars of one model year by month, beside the loss by age alone."""
    months, places = drift.months, np.arange(len(drift.months))
    figure = Figure((_NARROW, 5.6))
    top, middle, low = figure.subplots(3, 1, sharex=True, height_ratios=(2.2, 1, 1))
    top.errorbar(
        places,
        100 * np.expm1(months["level"]),
        yerr=200 * months["error"],
        fmt="o",
        color=BLUE,
        markersize=4,
        linewidth=1.1,
        label="a car of one model year (± 2 standard errors)",
    )
    if drift.loss is not None:
        after = months["years"] - np.average(months["years"], weights=months["rows"])
        ageing = 100 * np.expm1(-drift.loss * after)
        top.plot(places, ageing, color=_RED, linestyle="--", label="what a year of age alone costs")
    top.axhline(0, color=GREY, linewidth=0.8)
    _legend_above(top)
    _style(top.yaxis, "price against\nall months, %")
    middle.plot(places, months["median"], "o-", color=BLUE, ms=3)
    _style(middle.yaxis, f"median price,\n{currency}")
    low.bar(places, months["rows"], color=BLUE, width=0.7)
    _style(low.yaxis, "listings")
    step = max(1, -(-len(places) // 12))
    low.xaxis.set_major_locator(FixedLocator(places[::step].tolist()))
    low.set_xticklabels(months.index[::step].astype(str), fontsize=8)
    low.grid(axis="x", visible=False)
    figure.align_ylabels()
    return figure


def _svg(figure: Figure) -> Markup:
    """Return SVG for use in HTML: no prologue, unique ids, the page's own colours."""
    text = StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.dpi = 110
    # savefig gives the same text, and draws everything twice.
    FigureCanvasSVG(figure).print_svg(text, metadata=nothing)  # type: ignore[no-untyped-call]
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r' xmlns(?::xlink)?="[^"]*"', "", svg)
    svg = re.sub(r' (?:width|height)="[\d.]+pt"', "", svg, count=2)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = svg.replace("xlink:href=", "href=")
    own = hashlib.sha256(svg.encode()).hexdigest()[:8]
    svg = re.sub(r'(id="|#)(?=[mp][0-9a-f]{10})', rf"\g<1>{own}-", svg)
    for colour, name in _VARIABLES.items():
        svg = svg.replace(colour, f"var(--{name})")
    return Markup(re.sub(r"\n\s*", "\n", svg).strip())  # noqa: S704 (Matplotlib escapes texts)


def _legend_above(axes: Axes) -> None:
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, fontsize=8, borderaxespad=0.2)


def _histogram(axes: Axes, values: Floats, edges: Floats, median: float) -> None:
    axes.stairs(*np.histogram(values, edges), fill=True, color=BLUE, alpha=0.8)
    axes.axvline(median, color=_RED, linewidth=1.2)


def _widened(low: float, high: float) -> tuple[float, float]:
    return (low / 1.2, high * 1.2) if high / low < 1.05 else (low, high)


def _style(axis: Axis, label: str) -> None:
    axis.set_major_formatter(lambda value, _: short(float(f"{value:.6g}")).replace("-", "−"))
    if axis.get_scale() == "linear":
        axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axis.set_label_text(label)


def _price_axis(axes: Axes, which: Literal["x", "y"], low: float, high: float, label: str) -> None:
    low, high = _widened(low, high)
    axis: Axis = axes.xaxis if which == "x" else axes.yaxis
    if high / low >= _NARROW_RANGE:
        axes.set(**{f"{which}scale": "log"})
        axis.set_major_locator(LogLocator(subs=_steps(high / low), numticks=15))
        axis.set_minor_formatter(NullFormatter())
    axes.set(**{f"{which}lim": (low, high)})
    _style(axis, label)


def _steps(ratio: float) -> tuple[float, ...]:
    """Return which multiples of powers of ten get a tick on an axis of such a range."""
    if ratio < 20:
        return (1.0, 2.0, 3.0, 5.0, 7.0)
    if ratio < 1000:
        return (1.0, 2.0, 5.0)
    return (1.0, 3.0) if ratio < 1e5 else (1.0,)
