"""What a look at the model in use found, as one HTML page that loads nothing from anywhere."""

import datetime
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from carprice import __version__
from carprice.monitoring.checks import GROUPS, Monitored, Table
from carprice.monitoring.drawing import draw
from carprice.monitoring.words import Cell, facts_in_words, number, numbers, plain

_TITLES: Final = dict(
    zip(GROUPS, ("What comes in", "The market", "The model"), strict=True),
)


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
