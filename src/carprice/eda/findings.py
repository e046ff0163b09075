"""Read and clean a source once, and gather all findings that the EDA page shows."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from carprice.arrays import Floats, Progress
from carprice.eda.assessment import ColumnSummary, assess
from carprice.eda.distributions import (
    CategorySummary,
    NumberSummary,
    Relation,
    by_name,
    rare_names,
    relation,
    summarise_categories,
    summarise_number,
    unseen_share,
)
from carprice.eda.drift import Drift, find_drift, loss_per_year
from carprice.eda.outliers import Outliers, expected_log_price, find_outliers
from carprice.evaluation.junk import Junk
from carprice.listings.believed import believed_rows
from carprice.listings.cars import Repeats, cars_of
from carprice.listings.cells import with_texts
from carprice.listings.contradictions import Contradiction, find_contradictions
from carprice.listings.features import Features, Reading, parse
from carprice.listings.frames import as_columns
from carprice.listings.keys import has_detail
from carprice.listings.leaks import MOST_EXPLAINED, Suspect, is_price, suspects
from carprice.listings.noise import NoiseFloor, noise_floor, twin_differences
from carprice.listings.reading import Listings, Source, clean_source, read_source
from carprice.model.trust import judge_prices
from carprice.redaction import redact
from carprice.schema import PRICE, alias, own_numbers, own_of
from carprice.settings import IngestSettings, Settings

FEWEST_LISTINGS: Final = 10
"""Fewer clean listings are not described: the page would show them one by one."""
_NUMBERS: Final = ("engine_cc", "power_bhp", "seats", "fuel_economy", "road_tax", "new_price")


@dataclass(frozen=True)
class FieldSummary:
    """A field of a listing: the columns it is read from, and how many clean listings lack it."""

    name: str
    origin: str
    missing: int


@dataclass(frozen=True)
class MarketFindings:
    """What the clean listings say; there are at least ten of them.

    Attributes
    ----------
    fields : all fields that a listing may have.
    repeats : how many cars are listed more than once.
    numbers, categories : how the values of each field are distributed; the price comes first.
    by_age, by_distance : how the price follows the age and the odometer.
    makes, models : prices of the commonest makes and models.
    rare_models : number of models with fewer than five cars, and number of all models.
    unseen : field → share of a random test split's rows whose value no training row has.
    known_by : fields with the share of like cars' price differences that each explains, 0 to 1.
    known : camelCase names of the fields that are known of any car before there is a price.
    prices : those of ``known`` from which alone the price follows.
    noise, twins : the noise floor, and by how much ln(price) differs in each pair of near-twins.
    outliers : the cars that decide squared errors, and prices far from what like cars cost.
    contradictions : years and kinds whose prices contradict their neighbours.
    drift : whether prices move with the listing dates.
    junk : the prices that are taken for no car's; noise, suspects and drift are without them.
    """

    fields: tuple[FieldSummary, ...]
    repeats: Repeats
    numbers: tuple[NumberSummary, ...]
    categories: tuple[CategorySummary, ...]
    by_age: Relation
    by_distance: Relation
    makes: pd.DataFrame
    models: pd.DataFrame
    rare_models: tuple[int, int]
    unseen: dict[str, float]
    known_by: tuple[Suspect, ...]
    known: tuple[str, ...]
    prices: tuple[str, ...]
    noise: NoiseFloor
    twins: Floats
    outliers: Outliers
    contradictions: tuple[Contradiction, ...]
    drift: Drift
    junk: Junk

    @property
    def has_one_price(self) -> bool:
        """Whether all prices are equal."""
        return self.numbers[0].quantiles[0] == self.numbers[0].quantiles[-1]

    @property
    def suspects(self) -> tuple[Suspect, ...]:
        """Fields that explain so much of the price that training refuses them."""
        return tuple(
            one
            for one in self.known_by
            if alias(one.field) in self.prices
            or (one.explained >= MOST_EXPLAINED and alias(one.field) not in self.known)
        )


@dataclass(frozen=True)
class Findings:
    """All that the page shows of a source.

    Attributes
    ----------
    source : its path or address, without secrets.
    valuation_date : as ISO 8601.
    rejected, repaired : number of rows by reason.
    columns : what each column of the source holds.
    list_prices : the ignored columns that are list prices when new, by their names.
    market : what the clean listings say; None where fewer than ten rows were kept.
    """

    source: str
    currency: str
    distance_unit: str
    valuation_date: str
    test_size: float
    rows_read: int
    rows_kept: int
    rejected: dict[str, int]
    repaired: dict[str, int]
    columns: tuple[ColumnSummary, ...]
    list_prices: tuple[str, ...]
    market: MarketFindings | None

    @property
    def leaks(self) -> list[ColumnSummary]:
        """Ignored columns that look computed from the price."""
        return [column for column in self.columns if column.evidence]


def examine(settings: Settings, progress: Progress, passed_over: Path | None = None) -> Findings:
    """Read and clean a source as the pipeline does, and describe it.

    Parameters
    ----------
    progress : called with what is being done.
    passed_over : see :func:`carprice.listings.sources.read_chunks`.

    Raises
    ------
    InputError
        If the source cannot be read.
    """
    chunks: list[pd.DataFrame] = []
    source = read_source(settings.ingest, progress, passed_over=passed_over, on_rows=chunks.append)
    progress("looking at the columns")
    fields: dict[str, list[str]] = {}
    for field, names in source.origin.items():
        for name in names:
            fields.setdefault(name, []).append(alias(field))
    judged = source.judged()
    evidence = {one.name: one.evidence for one in judged}
    columns = assess(pd.concat(chunks, ignore_index=True), fields, evidence)
    chunks.clear()
    progress("cleaning")
    cleaned = clean_source(source, settings.ingest)
    cleaned = replace(cleaned, frame=with_texts(cleaned.frame))
    enough = len(cleaned.frame) >= FEWEST_LISTINGS
    return Findings(
        source=redact(settings.ingest.source),
        currency=settings.ingest.units.currency,
        distance_unit=settings.ingest.units.distance,
        valuation_date=cleaned.valuation_date.isoformat(),
        test_size=settings.ingest.split.test_size,
        rows_read=source.rows_read,
        rows_kept=len(cleaned.frame),
        rejected=dict(cleaned.counts.rejected.most_common()),
        repaired=dict(cleaned.counts.repaired.most_common()),
        columns=tuple(columns),
        list_prices=tuple(one.name for one in judged if one.is_list_price),
        market=_market(source, cleaned, settings, progress) if enough else None,
    )


def _market(
    source: Source, cleaned: Listings, settings: Settings, progress: Progress
) -> MarketFindings:
    listings, unit = cleaned.frame, settings.ingest.units.distance
    price = listings[PRICE].to_numpy(dtype=np.float64)
    log_price = np.log(price)
    progress("parsing")
    columns = as_columns(listings)
    cars = cars_of(listings)
    reading = Reading(own=own_of(listings.columns))
    features = replace(parse(columns, cleaned.valuation_date, unit, reading), cars=cars)
    # Without dates, every car has its age on the valuation date.
    without_dates = {name: values for name, values in columns.items() if name != "listed_on"}
    undated = replace(parse(without_dates, cleaned.valuation_date, unit, reading), cars=cars)
    progress("prices to believe")
    judged = judge_prices(features, log_price)
    is_believed = settings.ingest.junk == "believe"
    trust = np.ones(len(log_price)) if is_believed else judged.trust
    rows = believed_rows(trust)
    sure, known_price = features.take(rows), log_price[rows]
    progress("what like cars cost")
    expected = None
    if np.ptp(price):
        fixed = settings.train.hedonic.scales
        expected = expected_log_price(undated, log_price, unit, fixed, trust)
    residual = None if expected is None else (log_price - expected)[rows]
    progress("near-twins, suspects and drift")
    known_by = suspects(sure, known_price, explaining=0.0)
    known = settings.ingest.known(source.origin)
    prices = [one.field for one in known_by if is_price(sure, known_price, one.field)]
    return MarketFindings(
        fields=_fields(listings, source, settings.ingest),
        repeats=cleaned.repeats,
        numbers=_numbers(listings, features, settings.ingest),
        categories=tuple(summarise_categories(listings)),
        by_age=relation("age", "years", features.numbers["age"], price, whole=True),
        by_distance=relation("odometer", unit, features.numbers["odometer"], price, whole=False),
        makes=by_name(listings["make"].tolist(), price),
        models=by_name((listings["make"] + " " + listings["model"]).tolist(), price),
        rare_models=rare_names(features.texts["model"]),
        unseen=_unseen(features, settings.ingest.split.test_size),
        known_by=tuple(one for one in known_by if one.explained > 0),
        known=tuple(known),
        prices=tuple(name for name in map(alias, prices) if name in known),
        noise=noise_floor(sure, known_price),
        twins=twin_differences(sure, known_price),
        outliers=find_outliers(listings, expected),
        contradictions=tuple(find_contradictions(listings.iloc[rows])),
        drift=find_drift(
            listings["listed_on"].to_numpy(dtype="datetime64[D]")[rows],
            listings["year"].to_numpy(dtype=np.float64)[rows],
            price[rows],
            residual,
            loss_per_year(undated.take(rows), known_price),
        ),
        junk=Junk.find(listings, trust, judged.expected),
    )


def _fields(
    listings: pd.DataFrame, source: Source, settings: IngestSettings
) -> tuple[FieldSummary, ...]:
    summaries = []
    for field in (PRICE, *settings.fields):
        rule = settings.columns.get(field)
        origin = ", ".join(source.origin.get(field) or ())
        if rule is not None and rule.filename:
            origin = "the file's name"
        elif rule is not None and rule.constant is not None:
            origin = f"always {rule.constant}"
        summaries.append(FieldSummary(alias(field), origin, int(listings[field].isna().sum())))
    return tuple(summaries)


def _numbers(
    listings: pd.DataFrame, features: Features, settings: IngestSettings
) -> tuple[NumberSummary, ...]:
    currency, distance = settings.units.currency, settings.units.distance
    units = {PRICE: currency, "age": "years", "odometer": distance, "road_tax": currency}
    units["new_price"] = currency
    units |= {"engine_cc": "cm³", "power_bhp": "bhp"}
    values = {PRICE: listings[PRICE]}
    values |= {name: features.numbers[name] for name in ("age", "odometer")}
    values |= {name: listings[name] for name in (*_NUMBERS, *own_numbers(listings.columns))}
    summaries = [
        summarise_number(alias(name), units.get(name, ""), np.asarray(one, dtype=np.float64))
        for name, one in values.items()
    ]
    return tuple(summary for summary in summaries if len(summary.values))


def _unseen(features: Features, test_size: float) -> dict[str, float]:
    texts = features.texts
    shares = {"model": unseen_share(texts["model"], test_size)}
    if any(map(has_detail, texts["model_variant"])):
        shares["variant"] = unseen_share(texts["model_variant"], test_size)
    return shares
