"""The command that prices a shop's stock."""

import gc
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from carprice.cli.app import PARAMS, SERVE, WORKDIR, Params, Workdir, app, load_model
from carprice.cli.serve import Confidence
from carprice.cli.terminal import say, say_assumed, step, table
from carprice.components.workspace import Workspace
from carprice.schema import DEFAULT_CONFIDENCE
from carprice.settings import load_settings

if TYPE_CHECKING:
    import pandas as pd


@contextmanager
def _no_search_for_cycles() -> Iterator[None]:
    """Leave cycles alone: nearly all that a stock makes is kept until the end, and is none."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@app.command(rich_help_panel=SERVE)
@_no_search_for_cycles()
def stock(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE", help="Listings of one shop: a path, glob, s3://…, https://… …"
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write: .xlsx, .csv, .parquet")],
    car_id: Annotated[
        str | None,
        typer.Option(
            "--id", metavar="COLUMN", help="Column that names each car, such as a stock number."
        ),
    ] = None,
    params: Params = PARAMS,
    workdir: Workdir = WORKDIR,
    model: Annotated[
        Path | None, typer.Option("--model", help="Model folder; default: the production model.")
    ] = None,
    confidence: Confidence = DEFAULT_CONFIDENCE,
) -> None:
    """Price a shop's stock beside what it asks, and sum it up.

    Each row gets a price with its range, the three largest reasons, priceToMarket:
    what is asked over the price, whether that is a good deal, and the place of
    what is asked among the car's comparables.
    What is asked is read from a column price, listingPrice or askingPrice, or as
    ingest.columns.price says. The summary, by make, age and price, is the second
    sheet of an .xlsx; stock.csv has stock-summary.csv beside it.

    Several files are snapshots of one stock, each of the day in its name
    (shop-2025-06-30.csv); so is one file in which the cars of --id stand on
    several days of listedOn. The newest is the stock. The earlier ones tell days
    listed, price drops, what is gone (sold or not), and how many days the stock
    lasts at the pace of the last 45.

    carprice stock listings.csv --out stock.xlsx

    carprice stock 'shop-2025-*.csv' --id stockNo --out stock.xlsx
    """
    from carprice.components.stock import check_target
    from carprice.components.stock import stock as price_stock

    settings, workspace = load_settings(params), Workspace(workdir)
    check_target(out, sources)
    with step("stock") as progress:
        loaded = load_model(model, settings, workspace, progress)
        done = price_stock(loaded, settings.ingest, sources, out, confidence, progress, car_id)
    say_assumed(done.notes)
    _say_summary(done.summary, loaded.market.currency)
    if done.supply is not None:
        say(done.supply.sentence(done.gone))
    rest = "" if done.with_price == done.rows else "; the column problem says why not the others"
    say(f"{done.with_price:,} of {done.rows:,} rows priced into {out}{rest}.")
    if beside := [str(path) for path in done.files if path != out]:
        say(f"Beside it: {', '.join(beside)}.")


def _say_summary(summary: "pd.DataFrame", currency: str) -> None:
    """Print the summary without the makes, of which there may be many."""
    shown = summary[summary["by"] != "make"]
    header = ("", "cars", "asked", "predicted", "price to market")
    rows = [
        (
            f"{row.by} {row.group}".strip(),
            f"{row.cars:,}",
            _number(row.medianAskingPrice, ",.0f"),
            _number(row.medianPredictedPrice, ",.0f"),
            _number(row.medianPriceToMarket, ".3f"),
        )
        for row in shown.itertuples()
    ]
    if rows:
        table(f"The stock: medians, {currency}", header, rows)


def _number(value: float, form: str) -> str:
    return "–" if math.isnan(value) else format(value, form)
