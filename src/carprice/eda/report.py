"""Write the findings as one HTML page that loads nothing: no script, no font, no address."""

from pathlib import Path
from typing import Final

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from carprice import __version__
from carprice.arrays import Progress
from carprice.eda import charts
from carprice.eda.advice import advise, change, drift_in_words, percent
from carprice.eda.findings import Findings, MarketFindings, examine
from carprice.errors import InputError
from carprice.files import write_text
from carprice.listings.leaks import MOST_EXPLAINED
from carprice.schema import alias
from carprice.settings import Settings

_FEWEST_TWINS: Final = 30


def write_report(
    settings: Settings, out: Path, progress: Progress, passed_over: Path | None = None
) -> Findings:
    """Examine a source and write the findings as one HTML page.

    Parameters
    ----------
    settings : say the source and how it is read.
    out : file to write; missing folders are made.
    progress : called with what is being done.
    passed_over : see :func:`carprice.listings.sources.read_chunks`.

    Raises
    ------
    InputError
        If the source cannot be read.
    RefusedError
        If the file cannot be written.
    """
    if out.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"--out {out}: the ending must be .html")
    if out.is_dir():
        raise InputError(f"--out {out} is a folder; name a file in it, such as {out / 'eda.html'}")
    findings = examine(settings, progress, passed_over)
    progress("drawing")
    write_text(out, render(findings))
    return findings


def render(findings: Findings) -> str:
    """Return the page."""
    environment = Environment(
        autoescape=True,
        loader=PackageLoader("carprice.eda", ""),
        lstrip_blocks=True,
        trim_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {
        "percent": percent,
        "change": change,
        "count": lambda number: f"{number:,}",
        "money": lambda price: f"{price:,.0f}",
        "number": lambda value: f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}",
    }
    market = findings.market
    return environment.get_template("page.html.jinja").render(
        findings=findings,
        market=market,
        advice=advise(findings),
        pictures={} if market is None else _pictures(findings, market),
        drift_in_words=drift_in_words,
        twins_in_percent=100 * np.expm1(market.twins if market else []),
        median=np.median,
        alias=alias,
        alarm=MOST_EXPLAINED,
        version=__version__,
    )


def _pictures(findings: Findings, market: MarketFindings) -> dict[str, Markup]:
    currency, (price, *others) = findings.currency, market.numbers
    drawn = {
        "price": charts.price_chart(price),
        "age": charts.relation_chart(market.by_age, currency),
    }
    if others:
        drawn["numbers"] = charts.number_chart(others)
    if len(market.by_distance.bands):
        drawn["distance"] = charts.relation_chart(market.by_distance, currency)
    if len(market.makes):
        drawn["makes"] = charts.names_chart(market.makes, currency)
    if len(market.models):
        drawn["models"] = charts.names_chart(market.models, currency)
    if market.known_by:
        drawn["suspects"] = charts.suspects_chart(market.known_by)
    if len(market.twins) >= _FEWEST_TWINS:
        drawn["twins"] = charts.twins_chart(market.twins)
    if len(market.outliers.curve):
        drawn["outliers"] = charts.outliers_chart(market.outliers)
    if market.drift.is_known:
        drawn["drift"] = charts.drift_chart(market.drift, currency)
    return drawn
