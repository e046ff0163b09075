"""The model card: what a model is for, its data, figures, limits and tests; all of it computed."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markdown_it import MarkdownIt
from markupsafe import Markup

from carprice.listings.frames import as_columns
from carprice.model import DEFAULT_CONFIDENCE, PriceModel
from carprice.model.blocks import OTHERS
from carprice.model_tests.figures import Measured
from carprice.model_tests.results import ModelTestResult, Status
from carprice.registry.versions import Version
from carprice.schema import REQUIRED, alias
from carprice.settings import GateSettings

_SHOWN_MAKES: Final = 20
_EXPLAINED_CARS: Final = 400
_SHOWN_NUMBERS: Final = {
    "age": "age, years",
    "odometer": "distance",
    "ownership": "owner",
    "litres": "engine, litres",
    "power_bhp": "power, bhp",
    "seats": "seats",
    "cylinders": "cylinders",
}
_MARKUP: Final = re.compile(r"([\\`*_\[\]<>|~&]|:(?=//)|^[#+-])")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]+")

Segment = tuple[str, Mapping[str, float]]


@dataclass(frozen=True)
class Subject:
    """A version of the registry, and what is known of it.

    Attributes
    ----------
    name : of the registered model.
    model, libraries : the loaded model, and the versions of the libraries that made it; None where
        the downloaded files are not the registered ones.
    figures : measured on the test listings; None where they could not be measured.
    report : ingest's report on the same data; None where it was not found.
    parameters : of the run that made it.
    backtest : the report of a backtest; None where there is none.
    """

    name: str
    version: Version
    results: Sequence[ModelTestResult]
    gate: GateSettings
    model: PriceModel | None = None
    libraries: Mapping[str, str] | None = None
    figures: Measured | None = None
    report: Mapping[str, Any] | None = None
    parameters: Mapping[str, str] | None = None
    backtest: Mapping[str, Any] | None = None


def model_card(subject: Subject) -> str:
    """Return the card as Markdown."""
    figures = subject.figures
    text = _template("model_card.md.jinja").render(
        subject=subject,
        failed=sum(not one.is_good for one in subject.results),
        warned=sum(one.status is Status.UNDECIDED for one in subject.results),
        required=", ".join(f"`{alias(field)}`" for field in REQUIRED),
        days=_days(figures),
        shown_segments=[] if figures is None else _shown_segments(figures),
        confidence=DEFAULT_CONFIDENCE,
        rest=None if figures is None or subject.model is None else _rest(subject.model, figures),
        large=[] if figures is None else _large_segments(figures, subject.gate.segment_rows),
        numbers=_SHOWN_NUMBERS,
        reasons=subject.version.gate_reasons,
        backtest=subject.backtest,
    )
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def page(title: str, markdown: str) -> str:
    """Return a Markdown text as one self-contained page, without scripts or remote parts.

    HTML and images in the text are shown as text.

    Examples
    --------
    >>> "<b>" in page("a", "<b>")
    False
    """
    reader = MarkdownIt("commonmark", {"html": False}).enable("table").disable(["image", "link"])
    body = Markup(reader.render(markdown))  # noqa: S704 - the reader escapes what it shows
    return _template("model_card.html.jinja").render(title=title, body=body)


def _template(name: str) -> Template:
    environment = Environment(
        loader=PackageLoader("carprice.model_tests", ""),
        autoescape=name.endswith(".html.jinja"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    filters = {"plain": plain, "code": _code, "number": _number, "count": "{:,}".format}
    environment.filters |= filters
    return environment.get_template(name)


def plain(value: object) -> str:
    r"""Return a text of the data such that Markdown shows it as it is, on one line.

    Examples
    --------
    >>> print(plain("<b>|a_b https://example.com"))
    \<b\>\|a\_b https\://example.com
    """
    return _MARKUP.sub(r"\\\1", _CONTROL.sub(" ", str(value)))


def _code(text: object) -> str:
    """Return a text as code, fit to stand in a table."""
    shown = _CONTROL.sub(" ", str(text)).replace("`", "'").replace("|", "\\|")
    return f"`{shown}`"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:g}"


def _days(figures: Measured | None) -> str:
    if figures is None:
        return "not known"
    days = figures.test["listed_on"].dropna()
    if days.empty:
        return "no dates of their own"
    return f"{days.min():%Y-%m-%d} to {days.max():%Y-%m-%d}"


@dataclass(frozen=True)
class _Rest:
    """What the reasons of some test cars leave to "everything else".

    Attributes
    ----------
    share : its part of how far all reasons move ln(price), in per cent.
    within_10 : cars whose price it moves by 10 % at most, in per cent.
    """

    cars: int
    share: float
    within_10: float


def _rest(model: PriceModel, figures: Measured) -> _Rest:
    told = model.explain(as_columns(figures.test.head(_EXPLAINED_CARS)))
    logs = [{one.name: abs(math.log(one.factor)) for one in each.reasons} for each in told]
    rest, moved = [one[OTHERS] for one in logs], sum(sum(one.values()) for one in logs)
    share = 100 * sum(rest) / moved if moved else 0.0
    within = 100 * sum(one <= math.log(1.1) for one in rest) / max(len(rest), 1)
    return _Rest(len(rest), share, within)


def _shown_segments(figures: Measured) -> Iterator[tuple[str, Sequence[Segment], int]]:
    """Yield each kind of segment, its segments to show, and how many are left out."""
    for kind, segments in figures.measured.segments.items():
        shown = list(segments.items())
        if kind == "make":
            shown = sorted(shown, key=lambda one: (-one[1]["rows"], one[0]))[:_SHOWN_MAKES]
        yield kind.replace("_", " "), shown, len(segments) - len(shown)


def _large_segments(figures: Measured, rows: int) -> list[Segment]:
    return [
        (f"{kind.replace('_', ' ')} {name}", one)
        for kind, segments in figures.measured.segments.items()
        for name, one in segments.items()
        if one["rows"] >= rows
    ]
