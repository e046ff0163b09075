"""The charts of the page, as SVG inside the HTML that takes its colours from the page."""

import hashlib
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import LinearSegmentedColormap, to_rgba
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from carprice.arrays import Floats
from carprice.eda.assessment import shortened
from carprice.eda.distributions import Band, NumberSummary, Relation
from carprice.eda.drift import Drift
from carprice.eda.outliers import Outliers
from carprice.evaluation.plots import BLUE, GREY
from carprice.listings.noise import NoiseFloor

_INK: Final = "#1a202c"
_GRID: Final = "#e2e8f0"
_RED: Final = "#c05621"
_VARIABLES: Final = {BLUE: "blue", GREY: "grey", _INK: "ink", _GRID: "grid", _RED: "red"}
_WIDE: Final = 7.6
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


@dataclass(frozen=True)
class Chart:
    """A chart.

    Attributes
    ----------
    svg : an ``<svg>`` element, safe to stand in HTML.
    alt : what the chart shows, for those who do not see it.
    caption : how to read it.
    """

    svg: Markup
    alt: str
    caption: str


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


def price_chart(look: NumberSummary) -> Chart:
    """Draw histograms of the prices on a plain and on a logarithmic axis."""
    label = f"price, {look.unit}"
    with _drawn(2, 2.9) as (figure, done):
        plain, logged = figure.subplots(1, 2)
        end = look.quantiles[7]
        near = look.values[look.values <= end]
        _histogram(plain, near, np.linspace(0, max(end, 1e-9), 41))
        _style_axis(plain, "x", label)
        plain.set_title("Prices, up to the dearest 1 %")
        low, high = _widened(look.quantiles[0], look.quantiles[-1])
        _histogram(logged, look.values, np.geomspace(low, high, 41))
        _price_axis(logged, "x", low, high, label)
        logged.set_title("The same on a logarithmic axis")
        for axes in (plain, logged):
            axes.axvline(look.quantiles[4], color=_RED, linewidth=1.2)
            axes.set_ylabel("listings")
            _style_axis(axes, "y")
    middle = look.quantiles[4]
    return Chart(
        done[0],
        f"Two histograms of {look.known:,} prices; the median is {middle:,.0f} {look.unit}.",
        f"Red: the median, {middle:,.0f} {look.unit}. Learn what is even: ln(price).",
    )


def number_chart(looks: Sequence[NumberSummary]) -> Chart:
    """Draw histograms of the other numbers, up to their 99 % quantile."""
    columns = 2
    rows = -(-len(looks) // columns)
    with _drawn(columns, 2.3 * rows) as (figure, done):
        grid = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, look in zip(grid, looks, strict=False):
            low, high = look.quantiles[0], look.quantiles[7]
            steps = high - low
            whole = steps <= 60 and bool(np.all(look.values == np.round(look.values)))
            high = high + 1 if whole else max(high, low + 1e-9)
            edges = np.arange(low, high + 1) if whole else np.linspace(low, high, 41)
            _histogram(axes, look.values[look.values <= high], edges - (0.5 if whole else 0))
            axes.axvline(look.quantiles[4], color=_RED, linewidth=1.2)
            _style_axis(axes, "x", f"{look.name}, {look.unit}" if look.unit else look.name)
            _style_axis(axes, "y", "listings")
        for axes in grid[len(looks) :]:
            axes.set_axis_off()
    names = ", ".join(look.name for look in looks)
    return Chart(
        done[0],
        f"Histograms of {names}.",
        "Up to the 99 % quantile of each. Red: the median.",
    )


def relation_chart(found: Relation, currency: str) -> Chart:
    """Draw how the price follows a number: density of the listings, and quantiles of the price."""
    left, right, bottom, top = found.extent
    with _drawn(1, 3.6) as (figure, done):
        axes = figure.subplots()
        shades = LinearSegmentedColormap.from_list(
            "shades", [(*to_rgba(BLUE)[:3], share) for share in (0.0, 0.15, 0.6)]
        )
        rows, columns = found.density.shape
        axes.pcolormesh(
            np.linspace(left, right, columns + 1),
            np.geomspace(bottom, top, rows + 1),
            np.sqrt(found.density),
            cmap=shades,
            rasterized=True,
        )
        middle = [band.middle for band in found.bands]
        for place, (style, name) in {
            0: (":", "5 % and 95 %"),
            1: ("--", "25 % and 75 %"),
            2: ("-", "median"),
            3: ("--", None),
            4: (":", None),
        }.items():
            axes.plot(
                middle,
                [band.quantiles[place] for band in found.bands],
                linestyle=style,
                color=_INK if place == 2 else GREY,
                linewidth=1.8 if place == 2 else 1.1,
                label=name,
            )
        _price_axis(axes, "y", bottom, top, f"price, {currency}")
        _style_axis(axes, "x", f"{found.name}, {found.unit}")
        if found.bands:
            _legend_above(axes)
        axes.set_xlim(left, right)
    told = ""
    if len(found.bands) > 1:
        first, last = found.bands[0], found.bands[-1]
        told = (
            f"The median falls from {first.quantiles[2]:,.0f} to {last.quantiles[2]:,.0f} "
            f"{currency}."
            if last.quantiles[2] < first.quantiles[2]
            else f"The median goes from {first.quantiles[2]:,.0f} to {last.quantiles[2]:,.0f} "
            f"{currency}."
        )
    return Chart(
        done[0],
        f"Price against {found.name}: density of listings and quantiles of the price. {told}",
        f"{told} Blue: where the listings are; a line needs ten of them. Cut off: the largest "
        f"0.5 % of {found.name}, and 0.1 % of the prices at each end.".strip(),
    )


def names_chart(bands: Sequence[Band], what: str, currency: str) -> Chart:
    """Draw the prices of makes or models: median, quartiles, 5 % and 95 %."""
    bands = sorted(bands, key=lambda band: band.quantiles[2])
    with _drawn(1, 0.7 + 0.21 * len(bands)) as (figure, done):
        axes = figure.subplots()
        for place, band in enumerate(bands):
            low, first, middle, third, high = band.quantiles
            axes.plot([low, high], [place, place], color=GREY, linewidth=1)
            axes.plot([first, third], [place, place], color=BLUE, linewidth=6, alpha=0.55)
            axes.plot(middle, place, "o", color=_INK, markersize=4)
        lows = [band.quantiles[0] for band in bands]
        highs = [band.quantiles[-1] for band in bands]
        _price_axis(axes, "x", min(lows) / 1.08, max(highs) * 1.08, f"price, {currency}")
        axes.set_ylim(-0.7, len(bands) - 0.3)
        axes.set_yticks(
            range(len(bands)), [f"{shortened(band.name, 28)} ({band.rows:,})" for band in bands]
        )
        axes.tick_params(axis="y", length=0, labelsize=8)
        axes.grid(axis="y", visible=False)
    return Chart(
        done[0],
        f"Prices of the commonest {what}: from {bands[0].name} to {bands[-1].name}.",
        f"The commonest {what}, and their listings. Dot: median; bar: the middle half; "
        "line: 5 % to 95 %.",
    )


def suspects_chart(shares: Sequence[tuple[str, float]], alarm: float) -> Chart:
    """Draw how much of like cars' price differences each field explains."""
    shares = shares[::-1]
    with _drawn(1, 0.8 + 0.22 * len(shares)) as (figure, done):
        axes = figure.subplots()
        values = [100 * share for _, share in shares]
        colours = [_RED if share >= alarm else BLUE for _, share in shares]
        bars = axes.barh([name for name, _ in shares], values, color=colours, height=0.65)
        axes.bar_label(bars, fmt="%.1f %%", padding=3, fontsize=8)
        axes.axvline(100 * alarm, color=_RED, linestyle="--", linewidth=1)
        axes.set_xlim(0, 105)
        _style_axis(axes, "x", "share of like cars' price differences, %")
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
    name, most = shares[-1]
    return Chart(
        done[0],
        f"Bars: {name} explains most of like cars' price differences, {100 * most:.1f} per cent.",
        "Among cars alike in model, variant, age and powertrain. Beyond the dashed line, training "
        "stops: no honest attribute explains so much.",
    )


def twins_chart(differences: Floats, noise: NoiseFloor) -> Chart:
    """Draw by how much near-twins differ in price."""
    percent = 100 * np.expm1(differences)
    end = float(max(np.quantile(percent, 0.97), 1.0))
    with _drawn(1, 2.6) as (figure, done):
        axes = figure.subplots()
        _histogram(axes, percent[percent <= end], np.linspace(0, end, 51))
        middle = float(np.median(percent))
        axes.axvline(middle, color=_RED, linewidth=1.2)
        _style_axis(axes, "x", "the dearer twin costs more by, %")
        _style_axis(axes, "y", "pairs")
        axes.set_xlim(0, end)
    return Chart(
        done[0],
        f"Histogram of the price differences of {noise.pairs:,} pairs of near-twins; half of them "
        f"differ by more than {middle:.1f} per cent.",
        f"{noise.pairs:,} pairs; red: the median, {middle:.1f} %. The largest 3 % are outside.",
    )


def outliers_chart(outliers: Outliers) -> Chart:
    """Draw which share of the squared error comes from how many cars."""
    curve = 100 * outliers.curve
    cars = np.arange(1, len(curve) + 1)
    with _drawn(1, 2.6) as (figure, done):
        axes = figure.subplots()
        axes.plot(cars, curve, color=BLUE, linewidth=1.8)
        axes.plot(cars[0], curve[0], "o", color=_RED, markersize=6)
        told = [f"{n:,} cars {curve[n - 1]:.0f} %" for n in (10, 100, 1000) if n <= len(curve)]
        axes.set_title(", ".join([f"One car makes {curve[0]:.0f} %", *told]))
        axes.set_xscale("log")
        axes.set_ylim(0, 100)
        _style_axis(axes, "x", "cars of the largest errors")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_minor_formatter(NullFormatter())
        _style_axis(axes, "y", "share of the squared error, %")
    return Chart(
        done[0],
        f"Curve: one car makes {curve[0]:.0f} per cent of the squared error, {len(curve):,} cars "
        f"{curve[-1]:.0f} per cent.",
        "Of the raw price, by the hedonic ridge out of fold. A figure that hangs on few cars "
        "compares nothing.",
    )


def drift_chart(drift: Drift, currency: str) -> Chart:
    """Draw the price of cars of one model year by month, beside the loss by age alone."""
    places = np.arange(len(drift.months))
    years = np.array([month.years for month in drift.months])
    level = np.array([month.level for month in drift.months])
    error = np.array([month.error for month in drift.months])
    with _drawn(1, 5.6) as (figure, done):
        top, middle, low = figure.subplots(3, 1, sharex=True, height_ratios=(2.2, 1, 1))
        top.errorbar(
            places,
            100 * np.expm1(level),
            yerr=200 * error,
            fmt="o",
            color=BLUE,
            markersize=4,
            linewidth=1.1,
            label="a car of one model year (± 2 standard errors)",
        )
        centre = np.average(years, weights=[month.rows for month in drift.months])
        if drift.loss is not None:
            ageing = 100 * np.expm1(-drift.loss * (years - centre))
            top.plot(
                places, ageing, color=_RED, linestyle="--", label="what a year of age alone costs"
            )
        top.axhline(0, color=GREY, linewidth=0.8)
        _legend_above(top)
        _style_axis(top, "y", "price against\nall months, %")
        middle.plot(places, [month.median for month in drift.months], "o-", color=BLUE, ms=3)
        _style_axis(middle, "y", f"median price,\n{currency}")
        low.bar(places, [month.rows for month in drift.months], color=BLUE, width=0.7)
        _style_axis(low, "y", "listings")
        step = max(1, -(-len(places) // 12))
        low.xaxis.set_major_locator(FixedLocator(places[::step].tolist()))
        low.set_xticklabels([month.name for month in drift.months[::step]], fontsize=8)
        low.grid(axis="x", visible=False)
        figure.align_ylabels()
    return Chart(
        done[0],
        f"Price of like cars in {len(places)} months from {drift.months[0].name} to "
        f"{drift.months[-1].name}, median price and number of listings.",
        "Above: like cars (same make, model, variant, model year, distance) against the mean of "
        "all months. Where dates are real and the market stands, the dots follow the dashed line.",
    )


@contextmanager
def _drawn(columns: int, height: float) -> Iterator[tuple[Figure, list[Markup]]]:
    """Yield a figure, and a list that holds its SVG after the ``with`` block."""
    done: list[Markup] = []
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        width = _WIDE if columns > 1 else _WIDE * 0.95
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure, done
        text = StringIO()
        figure.savefig(text, format="svg", dpi=110, metadata={"Date": None, "Creator": None})
    done.append(_inline(text.getvalue()))


def _inline(svg: str) -> Markup:
    """Return SVG for use in HTML: no prologue, unique ids, the page's own colours."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
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


def _histogram(axes: Axes, values: Floats, edges: Floats) -> None:
    counts, edges = np.histogram(values, edges)
    axes.stairs(counts, edges, fill=True, color=BLUE, alpha=0.8)


def _widened(low: float, high: float) -> tuple[float, float]:
    return (low / 1.2, high * 1.2) if high / low < 1.05 else (low, high)


def _style_axis(axes: Axes, which: str, label: str = "") -> None:
    axis: Axis = getattr(axes, f"{which}axis")
    axis.set_major_formatter(FuncFormatter(_tick))
    if axis.get_scale() == "linear":
        axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    if label:
        axis.set_label_text(label)


def _price_axis(axes: Axes, which: str, low: float, high: float, label: str) -> None:
    axis: Axis = getattr(axes, f"{which}axis")
    low, high = _widened(low, high)
    set_scale: Any = getattr(axes, f"set_{which}scale")
    set_limits: Any = getattr(axes, f"set_{which}lim")
    if high / low >= _NARROW_RANGE:
        set_scale("log")
        axis.set_major_locator(LogLocator(subs=_steps(high / low), numticks=15))
        axis.set_minor_formatter(NullFormatter())
    set_limits(low, high)
    _style_axis(axes, which, label)


def _steps(ratio: float) -> tuple[float, ...]:
    """Return which multiples of powers of ten get a tick on an axis of such a range."""
    if ratio < 20:
        return (1.0, 2.0, 3.0, 5.0, 7.0)
    if ratio < 1000:
        return (1.0, 2.0, 5.0)
    return (1.0, 3.0) if ratio < 1e5 else (1.0,)


def _tick(value: float, _: int | None) -> str:
    return short(float(f"{value:.6g}")).replace("-", "−")
