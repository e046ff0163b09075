"""Where the shapes of the page's charts lie: inline SVG, drawn by ``charts.html.jinja``."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from carprice.monitoring.axes import Scale, ticks

WIDTH: Final = 320
"""Of every chart, in its own units: a small phone's, so that texts stay legible there."""
_ROW: Final = 26
_LABELS: Final = 112
_DIGIT: Final = 6.6
DIAL: Final = ("great", "good", "fair", "high", "overpriced")


def price_range(answer: Mapping[str, Any], asking: float | None) -> dict[str, Any]:
    """Return the places of a price, its range, and an asking price on one line."""
    low, price, high = (answer[one] for one in ("priceLow", "predictedPrice", "priceHigh"))
    values = [low, price, high, *([asking] if asking else [])]
    margin = (max(values) - min(values)) * 0.08
    scale = Scale(min(values) - margin, max(values) + margin, 8, WIDTH - 8)
    at = {"low": scale(low), "price": scale(price), "high": scale(high)}
    return {**at, "asking": scale(asking) if asking else None}


def dial(percentile: float, cuts: Sequence[float]) -> dict[str, Any]:
    """Return a dial of five like parts, and where its hand points.

    Examples
    --------
    >>> dial(50, (1, 5, 95, 99))["hand"]
    (160.0, 42.0)
    """
    ends = [0.0, *cuts, 100.0]
    part = max(place for place in range(len(DIAL)) if percentile >= ends[place])
    share = (percentile - ends[part]) / ((ends[part + 1] - ends[part]) or 1.0)
    arcs = [
        {"name": name, "from": _on_dial(place / 5, 112), "to": _on_dial((place + 1) / 5, 112)}
        for place, name in enumerate(DIAL)
    ]
    return {"arcs": arcs, "hand": _on_dial((part + min(share, 1.0)) / 5, 98)}


def _on_dial(share: float, radius: float) -> tuple[float, float]:
    angle = math.pi * (1 - share)
    return round(160 + radius * math.cos(angle), 1), round(140 - radius * math.sin(angle), 1)


def waterfall(start: float, reasons: Iterable[Mapping[str, Any]], price: float) -> dict[str, Any]:
    """Return the bars from the market's typical car to a price, one below the other."""
    steps, total = [("typical car", 0.0, start, "total")], start
    for one in reasons:
        if one["amount"]:
            steps.append((one["name"], total, total + one["amount"], _way(one["amount"])))
            total += one["amount"]
    steps.append(("this car", 0.0, price, "total"))
    between = [value for _, before, after, _ in steps[1:-1] for value in (before, after)]
    values = [start, price, *between]
    low, high = min(values), max(values)
    # From nothing on, small steps would not be seen.
    floor = float(max(0, math.floor(low - (high - low) * 0.5)))
    scale = Scale(floor, high + (high - low) * 0.02, _LABELS, WIDTH - 4)
    bars = [
        {
            "name": name,
            "y": place * _ROW,
            "x": min(scale(max(before, floor)), scale(after)),
            "width": max(round(abs(scale(after) - scale(max(before, floor))), 1), 1.0),
            "end": scale(after),
            "kind": kind,
        }
        for place, (name, before, after, kind) in enumerate(steps)
    ]
    return {"bars": bars, "height": len(bars) * _ROW, "starts_at": floor}


def _way(amount: float) -> str:
    return "up" if amount > 0 else "down"


def plane(
    xs: Sequence[float], ys: Sequence[float], height: float = 220
) -> tuple[Scale, Scale, dict[str, Any]]:
    """Return the scales of a chart with two axes, and the places of their ticks."""
    across, up = ticks(min(xs), max(xs), least=1.0), ticks(min(ys), max(ys))
    left = 10 + _DIGIT * max(len(f"{value:,.0f}") for value in up)
    x = Scale(across[0], across[-1], left, WIDTH - 10)
    y = Scale(up[0], up[-1], height - 36, 12)
    axes = {
        "height": height,
        "left": left,
        "bottom": y(up[0]),
        "x": [{"at": x(value), "value": value} for value in across],
        "y": [{"at": y(value), "value": value} for value in up],
    }
    return x, y, axes


def scatter(
    listings: Sequence[Mapping[str, Any]], this_year: int, age: float, price: float
) -> dict[str, Any]:
    """Return the places of comparables by age and asking price, and of the subject."""
    ages = [float(max(this_year - _model_year(one, this_year), 0)) for one in listings]
    prices = [one["askingPrice"] for one in listings]
    x, y, axes = plane([*ages, age], [*prices, price])
    pairs = zip(ages, prices, strict=True)
    points = [(x(one), y(asked)) for one, asked in pairs]
    return {**axes, "points": points, "car": (x(age), y(price))}


def _model_year(listing: Mapping[str, Any], this_year: int) -> int:
    """Return a comparable's year; of one without, which was new, the year when it was listed."""
    if listing["year"] is not None:
        return int(listing["year"])
    return int(listing["listedOn"][:4]) if listing["listedOn"] else this_year


def curve(points: Sequence[Mapping[str, Any]], by: str) -> dict[str, Any]:
    """Return the line of prices and the band of their ranges, over ``by``."""
    xs = [float(point[by]) for point in points]
    ends = [point[name] for point in points for name in ("priceLow", "priceHigh")]
    x, y, axes = plane(xs, ends, 200)

    def line(name: str) -> list[str]:
        return [f"{x(at)},{y(point[name])}" for at, point in zip(xs, points, strict=True)]

    band = " ".join([*line("priceLow"), *reversed(line("priceHigh"))])
    return {**axes, "line": " ".join(line("predictedPrice")), "band": band}
