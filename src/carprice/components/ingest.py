"""Ingest: any source → clean listings, split into training and test rows, with a report."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from carprice.arrays import Each, Progress
from carprice.components.workspace import Workspace
from carprice.errors import InputError
from carprice.files import replacing, write_json, write_text
from carprice.listings.believed import BELIEVED, PRICE_TRUST, believed
from carprice.listings.cars import cars_of
from carprice.listings.contradictions import find_contradictions
from carprice.listings.frames import write_listings
from carprice.listings.market import Market
from carprice.listings.reading import (
    clean_source,
    read_source,
    read_source_at,
    refuse_too_few,
)
from carprice.listings.snapshot import listings_digest, snapshot_digest
from carprice.listings.sources import are_files
from carprice.redaction import redact
from carprice.schema import PRICE, alias
from carprice.settings import IngestSettings


def ingest(
    settings: IngestSettings,
    workspace: Workspace,
    progress: Progress,
    passed_over: Path | None = None,
    each: Each | None = None,
) -> dict[str, Any]:
    """Read, clean, check and split the listings; return what ``report.json`` says.

    Parameters
    ----------
    passed_over : see :func:`carprice.listings.sources.read_chunks`; if None, the workspace's own
        snapshot.
    each : a cluster's, to read the files of a source at once; None to read them here.

    Raises
    ------
    InputError
        If the source cannot be read, or too few listings are left to learn from.
    """
    passed_over = passed_over or workspace.snapshot
    with replacing(workspace.snapshot) as snapshot:
        if each is not None and are_files(settings.source):
            read = read_source_at(each, settings, progress, keep=snapshot, passed_over=passed_over)
        else:
            read = read_source(settings, progress, keep=snapshot, passed_over=passed_over)
        progress("cleaning")
        cleaned = clean_source(read, settings)
        refuse_too_few(cleaned, settings, read)
        listings, counts, units = cleaned.frame, cleaned.counts, settings.units
        if listings[PRICE].nunique() == 1:
            raise InputError(
                f"{redact(settings.source)}: price is {listings[PRICE].iloc[0]:.10g} in all "
                f"{len(listings):,} rows; map another column"
            )
        judged_market = Market(
            units.currency,
            units.distance,
            cleaned.valuation_date,
            "",
            {field: sign for field, sign in read.decimals.items() if field != PRICE},
        )
        origin = {alias(name): ", ".join(names) for name, names in read.origin.items() if names}
        missing = listings[[*settings.fields]].isna().sum()
        price = listings[PRICE].quantile([0, 0.05, 0.25, 0.5, 0.75, 0.95, 1])
        train, test = _split(listings, settings)
        report = {
            "source": redact(settings.source),
            "rows_read": read.rows_read,
            "rows_kept": len(listings),
            "rows_train": len(train),
            "rows_test": len(test),
            "rejected": dict(counts.rejected),
            "repaired": dict(counts.repaired),
            "ignored_columns": [asdict(column) for column in read.judged()],
            "columns": origin,
            "notes": [*read.notes, *cleaned.doubts],
            "known": settings.known(read.origin),
            "missing": {alias(name): int(rows) for name, rows in missing.items()},
            "price": {f"{100 * share:g} %": float(value) for share, value in price.items()},
            "price_range": list(cleaned.price_range),
            "repeats": cleaned.repeats.to_json(),
            "split": settings.split.model_dump(),
        }
        del read, cleaned, listings  # each holds all rows
        progress("prices to believe")
        train, test, junk = _judged(train, test, judged_market, settings.junk, each)
        market = replace(judged_market, data_digest=_digest(train, test)).to_json()
        report |= {
            "contradictions": [
                {**one.to_json(), "told": one.in_words()}
                for one in find_contradictions(believed(pd.concat([train, test]).sort_index()))
            ],
            "junk": junk,
            **market,
            "raw_digest": snapshot_digest(snapshot),
        }
        progress("writing")
        with replacing(workspace.train_listings.parent) as folder:
            write_listings(folder / workspace.train_listings.name, train)
            write_listings(folder / workspace.test_listings.name, test)
            write_json(folder / workspace.market.name, market)
    write_json(workspace.report, report)
    write_text(workspace.data_card, data_card(report))
    return report


def data_card(report: dict[str, Any]) -> str:
    """Return the report as a page of Markdown for people."""
    currency = report["currency"]
    kept, read = report["rows_kept"], report["rows_read"]
    lines = [
        "# Data card",
        "",
        f"{kept:,} of {read:,} rows of `{report['source']}` were kept: {report['rows_train']:,} to "
        f"learn from, {report['rows_test']:,} to test on ({report['split']['method']} split).",
        f"Prices are in {currency}, distances in {report['distance_unit']}; cars are valued for "
        f"{report['valuation_date']} where a listing has no date of its own.",
        f"Data digest: `{report['data_digest']}`",
        "",
        f"Raw data: `{report['raw_digest']}`; `carprice snapshot` brings them back where DVC keeps "
        "them.",
        "",
        *(f"Assumed: {note}.\n" for note in report["notes"]),
        *(
            f"Taken as known of any car before there is a price: {name} (column "
            f"{report['columns'].get(name, 'none')}). Whoever asks must give it as it was then.\n"
            for name in report["known"]
        ),
        _told(report["repeats"]),
        "",
        *_table(("rejected rows", "rows"), _shares(report["rejected"], read)),
        *_table(("repaired values", "rows"), _shares(report["repaired"], read)),
        *_table(
            ("price", currency), [(share, f"{p:,.0f}") for share, p in report["price"].items()]
        ),
        *_junk(report["junk"]),
        *_doubts([one["told"] for one in report["contradictions"]]),
        *_table(("missing after cleaning", "rows"), _shares(report["missing"], kept)),
        *_table(
            ("ignored column", "looks computed from the price"),
            [(column["name"], _looks(column)) for column in report["ignored_columns"]],
        ),
        *([_OWN_COLUMNS, ""] if report["ignored_columns"] else []),
    ]
    return "\n".join(lines) + "\n"


def _judged(
    train: pd.DataFrame, test: pd.DataFrame, market: Market, rule: str, each: Each | None
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Return the listings with how far each price is believed, and what is taken for junk.

    Where all are believed anyhow, they have no such column.
    """
    from carprice.evaluation.junk import Junk, judge_listings

    parts, judged = (train, test), judge_listings(train, test, market, each)
    trust, expected = (
        np.concatenate([getattr(one, name) for one in judged]) for name in ("trust", "expected")
    )
    junk = Junk.find(pd.concat(parts), trust, expected)
    told = {
        "rule": rule,
        **junk.to_json(),
        "rows_test": int((judged[1].trust < BELIEVED).sum()),
        "told": [*junk.told(market.currency, market.distance_unit)],
    }
    if rule == "discount" and not junk.rows:
        return train, test, told
    counted = [one.trust if rule == "discount" else np.ones(len(one.trust)) for one in judged]
    learned, tested = (
        part.assign(**{PRICE_TRUST: one}) for part, one in zip(parts, counted, strict=True)
    )
    return learned, tested, told


def _digest(*parts: pd.DataFrame) -> str:
    """Return the digest of listings, and of which of them are believed if some are not."""
    if all(len(believed(part)) == len(part) for part in parts):
        return listings_digest(*(part.drop(columns=PRICE_TRUST, errors="ignore") for part in parts))
    return listings_digest(
        *(part.assign(**{PRICE_TRUST: part[PRICE_TRUST] >= BELIEVED}) for part in parts)
    )


def told_of_junk(junk: Mapping[str, Any]) -> str:
    """Return what is taken for junk in one sentence, and what becomes of it; empty if none is."""
    if not junk["rows"]:
        return ""
    if junk["rule"] == "believe":
        meaning = "they count like all others, since `ingest.junk` is `believe`"
    else:
        meaning = (
            "they stay in the listings, do not count in training, and the figures "
            f"are without the {junk['rows_test']:,} of them among the test rows (to have them "
            "count like all others, set `ingest.junk` to `believe`)"
        )
    return f"{junk['told'][0]}; {meaning}"


def _junk(junk: Mapping[str, Any]) -> list[str]:
    """Write what is taken for junk, with examples, as a list."""
    if not junk["rows"]:
        return ["All prices are taken for cars' prices.", ""]
    return [f"{told_of_junk(junk)}.", "", *(f"- {one}" for one in junk["told"][1:]), ""]


_OWN_COLUMNS = (
    "An ignored column that says what a car is can be learned from: declare it in `ingest.extra`, "
    "such as `extra: {accident: flag, doors: number, steering: category}`."
)


def _looks(column: dict[str, Any]) -> str:
    """Write whether an ignored column looks computed from the price, and why."""
    if column["is_list_price"]:
        rule = f"`newPrice: {column['name']}`"
        return f"no: a list price when new, by its name; to learn from it, map it: {rule}"
    return str(column["evidence"]) or "no"


def _told(repeats: dict[str, Any]) -> str:
    """Write how often cars are listed."""
    if not repeats["repeated"]:
        text = f"{repeats['cars']:,} cars, each listed once, as far as the mapped fields tell."
    else:
        sides = "may be on both sides" if repeats["rule"] == "ignore" else "are on one side"
        text = (
            f"{repeats['cars']:,} cars; {repeats['listings']:,} listings are of "
            f"{repeats['repeated']:,} cars that are listed more than once, and {sides} of the "
            f"split (`ingest.repeats` is `{repeats['rule']}`)."
        )
    if repeats["under_other_ids"]:
        text += (
            f" {repeats['under_other_ids']:,} listings equal another in all but id, price, day and "
            "region: if `ingest.columns.id` is a listing's number and no car's, leave it out."
        )
    return text


def _doubts(contradictions: list[str]) -> list[str]:
    """Write which years and kinds have prices that contradict their neighbours, as a list."""
    if not contradictions:
        return []
    return [
        "Prices that contradict those of like cars:",
        "",
        *(f"- {c}" for c in contradictions),
        "",
    ]


def _table(header: tuple[str, str], rows: list[tuple[str, str]]) -> list[str]:
    if not rows:
        return [f"No {header[0]}.", ""]
    lines = (f"| {left} | {right} |" for left, right in rows)
    return [f"| {header[0]} | {header[1]} |", "| --- | --- |", *lines, ""]


def _shares(counts: dict[str, int], total: int) -> list[tuple[str, str]]:
    return [
        (reason, f"{rows:,} ({100 * rows / max(total, 1):.1f} %)")
        for reason, rows in counts.items()
        if rows
    ]


def _split(listings: pd.DataFrame, settings: IngestSettings) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split into rows to learn from and to test on; the listings of one car stay together."""
    split, cars = settings.split, cars_of(listings)
    if cars is None:
        cars = np.arange(len(listings), dtype=np.intp)
    if split.method == "random":
        names = np.arange(cars.max() + 1)
        parts = train_test_split(names, test_size=split.test_size, random_state=split.seed)
        place = np.empty(len(names), dtype=np.intp)
        place[np.concatenate(parts)] = names
        order, learned = np.argsort(place[cars], kind="stable"), len(parts[0])
        rows = int((place[cars] < learned).sum())
        return listings.iloc[order[:rows]], listings.iloc[order[rows:]]
    if listings["listed_on"].isna().any():
        raise InputError(
            "ingest.split.method is time, but "
            f"{int(listings['listed_on'].isna().sum())} listings have no date; map "
            "ingest.columns.listedOn or use random"
        )
    newest = listings["listed_on"].groupby(cars).transform("max").to_numpy()
    order = np.lexsort((listings["listed_on"].to_numpy(), cars, newest))
    ordered = cars[order]
    tested = int(np.ceil(split.test_size * len(order)))
    rows = int(np.flatnonzero(ordered == ordered[-tested])[0])
    return listings.iloc[order[:rows]], listings.iloc[order[rows:]]
