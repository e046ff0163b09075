"""What a look at the model in use found, as one HTML page that loads nothing from anywhere."""

import datetime
import re
from collections.abc import Mapping
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from carprice import __version__
from carprice.monitoring.checks import GROUPS, Monitored, Table
from carprice.monitoring.drawing import Cell, draw, number, numbers

_TITLES: Final = dict(
    zip(GROUPS, ("What comes in", "The market", "The model"), strict=True),
)
_LONGEST: Final = 1_000
_DIGEST: Final = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{20,}\b")
_UNSEEN: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]+"
)
"""Control characters, those that turn the direction of writing, and halves of characters."""


def page(monitored: Monitored, made: datetime.datetime) -> str:
    """Return the page; ``made`` is when it was found."""
    environment = Environment(
        autoescape=True,
        loader=PackageLoader("carprice.monitoring", ""),
        lstrip_blocks=True,
        trim_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {"plain": plain, "number": number}
    return environment.get_template("page.html.jinja").render(
        monitored=monitored,
        facts=facts_in_words(monitored.facts),
        groups=_TITLES,
        draw=draw,
        rows=_rows,
        made=f"{made:%Y-%m-%d %H:%M} UTC",
        version=__version__,
    )


def _rows(table: Table) -> list[tuple[str, ...]]:
    """Return the rows of a table, each column with as many decimals."""
    columns: list[tuple[Cell, ...]] = [*zip(*table.rows, strict=True)]
    return [*zip(*map(numbers, columns), strict=True)]


def facts_in_words(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return facts as people read them; what is not known is left out, of a digest the end.

    Examples
    --------
    >>> facts_in_words({"model_version": "7", "answers": 12345, "first_day": None})
    {'model version': '7', 'answers': '12,345'}
    """
    shown: dict[str, str] = {}
    for name, fact in facts.items():
        if fact is not None:
            text = number(fact) if isinstance(fact, int | float) else str(fact)
            shown[name.replace("_", " ")] = _DIGEST.sub(r"\1…", text)
    return shown


def plain(value: object) -> str:
    r"""Return a text of the data as one line of at most 1,000 letters, shown as it is written.

    Examples
    --------
    >>> plain("Kia\n\u202eaiK")
    'Kia aiK'
    """
    return " ".join(_UNSEEN.sub(" ", str(value)[:_LONGEST]).split())
