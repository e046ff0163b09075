"""Stock: price a shop's listings beside what it asks, and tell how its stock moves.

One file is a stock. Several files are snapshots of it, of the days that their names tell; so is one
file in which a car stands on several days. Then the newest snapshot is the stock, and the earlier
ones tell how long its cars are listed, what became cheaper, and what is gone.
"""

import datetime
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from carprice.appraisal.comparables import ranks_of
from carprice.appraisal.reasons import LARGEST, largest_in_cents
from carprice.appraisal.sheets import (
    day_of_stock,
    days_listed,
    histories_of,
    rows_to_tell,
)
from carprice.appraisal.snapshots import History, Supply, supply
from carprice.appraisal.stock_summary import COLUMNS, MEDIANS, Figures, summary_of
from carprice.arrays import Progress
from carprice.components.stock_reading import Part, read_stock
from carprice.components.workbook import write_workbook
from carprice.errors import InputError
from carprice.evaluation.pricing import (
    DEAL_NAMES,
    answers_and_reasons,
    with_defaults,
    with_left_out,
)
from carprice.files import check_writable, harmless, writing
from carprice.listings.features import listings_of
from carprice.listings.frames import as_columns
from carprice.listings.sources import is_read
from carprice.model import PriceModel
from carprice.model.explanation import Explanation
from carprice.model.pricer import cents
from carprice.schema import PRICE, PRICE_NAMES
from carprice.settings import IngestSettings

ENDINGS: Final = (".csv", ".parquet", ".xlsx")
_RANK: Final = "comparablesRank"
_TOLD: Final = ("warnings", "problem")
_OF_REASONS: Final = tuple(
    name
    for number in range(1, LARGEST + 1)
    for name in (f"reason{number}", f"reason{number}Amount")
)
_OF_SNAPSHOTS: Final = ("firstSeen", "lastSeen", "daysListed", "priceDrops", "priceDropTotal")
_FORMATS: Final = {
    **dict.fromkeys(
        (*PRICE_NAMES, *_OF_REASONS, "priceDropTotal", "medianAskingPrice", "medianPredictedPrice"),
        "money",
    ),
    **dict.fromkeys(("priceToMarket", "medianPriceToMarket"), "ratio"),
}


class Stock(NamedTuple):
    """What :func:`stock` did.

    Attributes
    ----------
    rows, with_price : number of rows of the stock, and of those that got a price.
    gone : listings of earlier snapshots that the newest lacks.
    supply : of the whole stock; None without snapshots.
    summary : as it was written.
    files : what was written: the stock, and the tables beside it.
    notes : what was assumed of how the numbers are written, and what is odd.
    """

    rows: int
    with_price: int
    gone: int
    supply: Supply | None
    summary: pd.DataFrame
    files: tuple[Path, ...]
    notes: tuple[str, ...]


def check_target(target: Path, sources: Sequence[str]) -> None:
    """Find out before any work that a stock cannot be written to a file.

    Raises
    ------
    InputError
        If its ending is none of :data:`ENDINGS`, the file or one that is written beside it is a
        source, too, or a local source is not there.
    """
    _refuse_ending(target)
    for path in _files(target, ("stock", "summary", "gone")).values():
        check_writable(path)
        for source in sources:
            if is_read(path, source):
                raise InputError(f"{path} is read as a source, too; name another file with --out")


def stock(
    model: PriceModel,
    settings: IngestSettings,
    sources: Sequence[str],
    target: Path,
    confidence: float,
    progress: Progress,
    car_id: str | None = None,
) -> Stock:
    """Price a stock, tell each row's price to market, rank, deal and reasons, and sum it up.

    A row keeps its own columns, and its place; one that cannot be priced says why, as
    :func:`carprice.components.predict.predict` does. A workbook gets the sheets ``stock``,
    ``summary`` and, of snapshots, ``gone``; beside any other file the latter two are files of its
    name: ``stock-summary.csv``. All of them are written, or none.

    Parameters
    ----------
    car_id : the column that names cars; default: ``id`` of ``settings.columns``, if it is there.

    Raises
    ------
    InputError
        See :func:`carprice.components.stock_reading.read_stock`; or if the target's ending is
        unknown, or it cannot hold the rows.
    """
    _refuse_ending(target)
    read = read_stock(model, settings.with_own(model.own), sources, car_id, progress)
    days, sheets_read = read.days, [part.sheet for part in read.parts]
    told = histories_of(sheets_read) if days else {}
    as_of = None if days else day_of_stock(sheets_read)
    tables, figures = list[pd.DataFrame](), list[pd.DataFrame]()
    for part in read.parts:
        rows = np.array(rows_to_tell(part.sheet, days, told), dtype=bool)
        if rows.any() or len(_left_out(part, days)):
            table, own = _tell(model, part, rows, confidence, days, told, as_of)
            tables.append(table)
            figures.append(own)
            progress(f"{sum(map(len, tables)):,} rows priced")
    whole = pd.concat(tables, ignore_index=True)
    of_rows = pd.concat(figures, ignore_index=True)
    is_gone = of_rows["gone"].to_numpy(dtype=bool)
    summary = _summary(of_rows[of_rows["predicted"].notna()], days)
    sheets = {"stock": whole[~is_gone], "summary": summary}
    if days:
        sheets |= {"stock": sheets["stock"].drop(columns="lastSeen"), "gone": whole[is_gone]}
    progress("writing")
    return Stock(
        rows=len(sheets["stock"]),
        with_price=int(sheets["stock"][PRICE_NAMES[0]].notna().sum()),
        gone=int(is_gone.sum()),
        supply=supply([one.last for one in told.values()], days) if days else None,
        summary=summary,
        files=(files := _write(target, sheets)),
        notes=(*read.notes, *_left_beside(target, files)),
    )


def _summary(figures: pd.DataFrame, days: Sequence[datetime.date]) -> pd.DataFrame:
    """Sum up the rows that have a price."""
    known = figures.astype(object).where(figures.notna(), None)
    cars = [*itertools.starmap(Figures, known[[*Figures._fields]].itertuples(index=False))]
    table = pd.DataFrame(summary_of(cars, days))
    if not len(table):
        return pd.DataFrame(columns=[*COLUMNS])
    return table.astype(dict.fromkeys(MEDIANS, "float64"))


def _refuse_ending(target: Path) -> None:
    if target.suffix.lower() not in ENDINGS and not target.is_dir():
        raise InputError(f"--out {target}: the ending must be one of {', '.join(ENDINGS)}")


def _left_out(part: Part, days: Sequence[datetime.date]) -> pd.Series:
    """Return why rows of the stock are left out; those of earlier snapshots are not told."""
    is_earlier = days and part.sheet.named_day not in (None, days[-1])
    return part.mapped.left_out.iloc[:0] if is_earlier else part.mapped.left_out


def _tell(
    model: PriceModel,
    part: Part,
    rows: np.ndarray,
    confidence: float,
    days: Sequence[datetime.date],
    told: Mapping[str, History],
    as_of: datetime.date | None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return rows of the source with all that is told of them, and what sums them up.

    Parameters
    ----------
    as_of : the day up to which the cars of a single stock are listed; None where that is not known.
    """
    listings, problems = part.mapped.frame[rows], part.problems[rows]
    sheet, asking = part.sheet, part.asking[rows]
    ids = [*itertools.compress(sheet.ids, rows)]
    of_day, listed = ([*itertools.compress(one, rows)] for one in (sheet.days, sheet.listed))
    if sheet.named_day is not None:  # the price of that day, not of the one it was listed on
        day = np.datetime64(sheet.named_day, "s")
        listings = listings.assign(listed_on=np.full(len(listings), day))
    asks = PRICE in part.mapped.frame
    priced, explained = answers_and_reasons(
        model, listings, problems, confidence, asking if asks else None
    )
    deals = priced.loc[:, [name for name in DEAL_NAMES if asks]]
    priced = priced.drop(columns=deals.columns)
    defaulted = {
        field: own
        for field, taken in part.mapped.defaulted.items()
        if len(own := taken[taken.index.isin(listings.index)])
    }
    priced = with_defaults(priced, defaulted)
    predicted = priced[PRICE_NAMES[0]]
    beside = {"priceToMarket": (asking / predicted).round(4)} if asks else {}
    more = pd.DataFrame(beside, listings.index).join(deals)
    if asks:
        more[_RANK] = _ranks(model, listings, asking.where(problems == ""))
    more = more.join(_reasons(explained, predicted[problems == ""]))
    of_cars = [told.get(car) if car is not None else None for car in ids]
    if days:
        more = more.join(_of_snapshots(of_cars, listings.index))
    elif as_of is not None:
        since = [days_listed(day, as_of) for day in listed]
        more["daysListed"] = pd.Series(since, listings.index, dtype="Int64")
    year, default_day = listings["year"], model.market.valuation_date
    figures = pd.DataFrame(
        {
            "make": listings["make"],
            "age": np.maximum([(day or default_day).year for day in of_day] - year, 0),
            "asking": asking,
            "predicted": predicted,
            "days": more.get("daysListed", pd.Series(pd.NA, listings.index, dtype="Int64")),
            "last": [one.last if one is not None else None for one in of_cars],
            "gone": [bool(days) and day is not None and day != days[-1] for day in of_day],
        },
        listings.index,
    )
    priced = with_left_out(priced, _left_out(part, days))
    more, figures = more.reindex(priced.index), figures.reindex(priced.index)
    figures["gone"] = figures["gone"].eq(True)
    answered = pd.concat([priced[[*PRICE_NAMES]], more, priced[[*_TOLD]]], axis=1)
    raw = part.chunk.frame.loc[priced.index].drop(columns=[*answered], errors="ignore")
    return pd.concat([raw, answered], axis=1), figures


def _reasons(explained: Sequence[Explanation], predicted: pd.Series) -> pd.DataFrame:
    """Return the largest reasons of each price, by name and amount, as an appraisal tells them."""
    rows = []
    for told, price in zip(explained, predicted.tolist(), strict=True):
        largest = largest_in_cents(told, price, LARGEST)
        lacking = [(None, math.nan)] * (LARGEST - len(largest))
        rows.append([*itertools.chain(*largest, *lacking)])
    table = pd.DataFrame(rows, predicted.index, [*_OF_REASONS], dtype=object)
    return table.astype(dict.fromkeys(_OF_REASONS[1::2], "float64"))


def _ranks(model: PriceModel, listings: pd.DataFrame, asking: pd.Series) -> pd.Series:
    """Return the rank of each price asked; None where there is none, or comparables are few."""
    asked = asking.dropna()
    if not len(asked):
        return pd.Series(None, listings.index, dtype=object)
    of_asked = listings_of(as_columns(listings.loc[asked.index]))
    found = ranks_of(model, [*of_asked], asked.tolist())
    told = [None if one is None else str(one) for one in found]
    return pd.Series(told, asked.index, dtype=object).reindex(listings.index)


def _of_snapshots(told: Sequence[History | None], index: pd.Index) -> pd.DataFrame:
    rows = [
        (None, None, None, None, None)
        if one is None
        else (one.first, one.last, one.days_listed, one.drops, cents(one.dropped))
        for one in told
    ]
    table = pd.DataFrame(rows, index, [*_OF_SNAPSHOTS], dtype=object)
    return table.astype({"daysListed": "Int64", "priceDrops": "Int64", "priceDropTotal": "float64"})


def _files(target: Path, names: Sequence[str]) -> dict[str, Path]:
    """Return where each table is written."""
    if target.suffix.lower() == ".xlsx":
        return {"stock": target}
    beside = {name: target.with_name(f"{target.stem}-{name}{target.suffix}") for name in names}
    return beside | {"stock": target}


def _left_beside(target: Path, written: Sequence[Path]) -> Iterator[str]:
    """Tell of a table that looks like one of this stock's; it may be the user's own."""
    for path in _files(target, ("gone",)).values():
        if path not in written and path.exists():
            yield f"{path} is none of this stock, which has no snapshots: it was there before"


def _write(target: Path, sheets: Mapping[str, pd.DataFrame]) -> tuple[Path, ...]:
    """Write all tables, or none."""
    files = _files(target, [*sheets])
    with ExitStack() as stack:
        for name, file in files.items():  # the stock, the first, takes its place last
            path = stack.enter_context(writing(file))
            if len(files) == 1:
                write_workbook(path, sheets, _FORMATS)
            elif target.suffix.lower() == ".csv":
                _harmless(sheets[name]).to_csv(path, index=False, lineterminator="\n")
            else:
                _write_parquet(path, sheets[name])
    return tuple(files.values())


def _harmless(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of which no spreadsheet takes a cell for a formula."""
    texts = [
        name for name, kind in zip(table.columns, table.dtypes, strict=True) if kind.kind == "O"
    ]
    changed = {
        name: table[name].map(lambda one: harmless(one) if isinstance(one, str) else one)
        for name in texts
    }
    return table.assign(**changed)


def _write_parquet(path: Path, table: pd.DataFrame) -> None:
    try:
        table.to_parquet(path, index=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise InputError(
            f"{path.name}: a column holds several kinds of values ({error}); write .csv or .xlsx "
            "instead"
        ) from None
