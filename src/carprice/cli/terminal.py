"""What a person sees: progress while something runs, tables after. Quiet without a terminal."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich import progress
from rich.console import Console
from rich.table import Table
from rich.text import Text

from carprice.arrays import Progress

_EXAMPLES = 3
console = Console(stderr=True, highlight=False)


@contextmanager
def step(name: str) -> Iterator[Progress]:
    """Show a spinner, the name, what is being done and the time taken, until the block ends."""
    columns = (
        progress.SpinnerColumn(),
        progress.TextColumn("[bold]{task.fields[name]}[/bold]"),
        progress.TextColumn("{task.description}", markup=False),
        progress.TimeElapsedColumn(),
    )
    with progress.Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("", name=name, total=None)
        yield lambda text: bar.update(task, description=text)


def say(text: str) -> None:
    """Print one line for people."""
    console.print(text, markup=False, soft_wrap=True)


def say_assumed(notes: Iterable[str]) -> None:
    """Print what was assumed of how numbers are written, and what is odd about them."""
    for note in notes:
        say(f"  assumed: {note}")


def say_junk(junk: Mapping[str, Any]) -> None:
    """Print which prices are taken for no car's price, with a few examples, if any are."""
    if not junk["rows"]:
        return
    counted = "counted like all others" if junk["rule"] == "believe" else "discounted"
    first, *others = junk["told"]
    say(f"  {counted}: {first}")
    for one in others[:: max(1, len(others) // _EXAMPLES)][:_EXAMPLES]:
        say(f"    {one}")


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table for people; whatever brackets its texts have are shown."""
    shown = Table(title=Text(title, style="table.title"), title_justify="left")
    for number, name in enumerate(header):
        shown.add_column(Text(name), justify="left" if number == 0 else "right", overflow="fold")
    for row in rows:
        shown.add_row(*map(Text, row))
    console.print(shown)


def _of_few_cars(figures: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Tell of how many cars the figures are, where test cars alone are too few."""
    held_out, margin = figures.get("cars_held_out"), figures.get("margin")
    if not held_out or not margin:
        return []
    return [
        ("figures are of", f"{figures['cars'] - held_out:,} test cars, {held_out:,} held out"),
        ("chance in the MAPE", f"± {margin['mape']:.1f} %"),
        ("chance in what the range covers", f"± {margin['coverage']:.1f} %"),
    ]


def _evenness(figures: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Tell what assessors ask for, where it is known."""
    for name, form in (("cod", "{:.1f} %"), ("prd", "{:.3f}"), ("prb", "{:+.3f}")):
        if name in figures:
            yield name.upper(), form.format(figures[name])


def figures_table(title: str, figures: Mapping[str, Any], currency: str) -> None:
    """Print the main figures of a model as a table."""
    rows = (
        ("MAPE", f"{figures['mape']:.2f} %"),
        ("MdAPE", f"{figures['mdape']:.2f} %"),
        ("within ±10 %", f"{figures['within_10']:.1f} %"),
        ("RMSLE", f"{figures['rmsle']:.3f}"),
        ("MAE", f"{figures['mae']:,.0f} {currency}"),
        ("R²", f"{figures['r2']:.3f}"),
        *_evenness(figures),
        ("90 % range covers", f"{figures['coverage']:.1f} %"),
        ("mean width of the range", f"{figures['mean_width']:.1f} %"),
        ("test rows", f"{figures['rows_test']:,}"),
        *_of_few_cars(figures),
    )
    table(title, ("figure", "value"), rows)
