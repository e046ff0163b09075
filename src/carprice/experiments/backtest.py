"""Time-honest accuracy: models that learned up to a month, tried on each of the months after it.

A test on rows that were drawn at random tells how well prices of the past are known. In use, a
model prices what is listed later, by a market that has moved since. Rolling-origin evaluation
(Tashman, *International Journal of Forecasting* 16, 2000) trains at the ends of several months, and
measures by horizon: how many months later a car was listed.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from carprice import __version__
from carprice.arrays import Floats, Progress
from carprice.components.workspace import Workspace
from carprice.eda.advice import drift_in_words
from carprice.eda.drift import DriftVerdict, find_drift, loss_per_year
from carprice.eda.outliers import expected_log_price
from carprice.errors import InputError, RefusedError
from carprice.experiments.candidates import COMPARED, choose
from carprice.experiments.data import Data
from carprice.experiments.fitting import CrossValidation
from carprice.experiments.pictures import draw_horizons
from carprice.experiments.ranking import Result
from carprice.experiments.tracked import ParentRun, Reporting, open_parent, plan_digest
from carprice.files import write_json, writing
from carprice.listings.believed import PRICE_TRUST, believed
from carprice.listings.cars import CAR, first_of_each_car
from carprice.listings.features import listings_of
from carprice.listings.frames import as_columns, parse_listings
from carprice.listings.market import Market
from carprice.metrics import price_metrics, range_metrics
from carprice.model import PriceModel
from carprice.schema import PRICE
from carprice.settings import TrainSettings, flatten

BACKTEST: Final = "backtest"
SHOWN: Final = ("mape", "mdape", "bias", "coverage")
"""Figures by horizon, in per cent: of the errors, the mean of ln(predicted / price), and the share
of the prices in their 90 % range."""
FEWEST_ROWS: Final = 100
"""Listings from which on a model learns."""
FEWEST_PRICED: Final = 30
"""Cars from which on a month is priced."""
_CONFIDENCE: Final = 0.95

Origin = Sequence[Mapping[str, float]]
"""The figures of the months after an origin, the nearest first."""


@dataclass(frozen=True)
class Backtest:
    """What is measured: listings with dates, and the months at whose ends models are trained.

    Attributes
    ----------
    listings : clean, dated ones, with their month in ``month``, the oldest first.
    undated : number of listings that are left out, since they have no date.
    origins : months, the first one first.
    doubts : why the dates may be invented; empty where they look real.
    """

    listings: pd.DataFrame
    undated: int
    market: Market
    origins: Sequence[pd.Period]
    horizon: int
    doubts: str = ""


def plan_backtest(
    data: Data, origins: int, horizon: int, rows: int | None, train: TrainSettings
) -> Backtest:
    """Choose the months at whose ends models are trained, as evenly apart as may be.

    Parameters
    ----------
    data : all rows of a source, as :func:`carprice.experiments.data.read_data` reads them.
    origins, horizon : how many models are trained, and how many months they are tried on.
    rows : with more dated listings than that, so many are chosen at random, by ``train.seed``.

    Raises
    ------
    InputError
        If listings have no dates, or those of too few months.
    """
    path = Workspace(data.file.parents[2]).train_listings
    listings = pd.read_parquet(path)
    dated = listings[listings["listed_on"].notna()]
    undated = len(listings) - len(dated)
    if dated.empty:
        raise InputError(
            f"{data.source}: no listing has a date, so that none can be priced by a model of "
            "before; map the column of the day it was listed, or sold, in ingest.columns.listedOn"
        )
    if rows is not None and len(dated) > rows:
        dated = dated.sample(rows, random_state=train.seed)
    dated = dated.sort_values("listed_on", kind="stable", ignore_index=True)
    dated = dated.assign(month=dated["listed_on"].dt.to_period("M"))
    counts = dated["month"].value_counts().sort_index()
    learned = counts.cumsum()
    fit = [
        month
        for month in counts.index[:-1]
        if learned[month] >= FEWEST_ROWS and counts.get(month + 1, 0) >= FEWEST_PRICED
    ]
    if not fit:
        raise InputError(
            f"{data.source}: its {len(dated):,} dated listings are of {len(counts)} months, "
            f"{counts.index[0]} to {counts.index[-1]}; a backtest needs {FEWEST_ROWS} to learn "
            f"from up to the end of a month, and {FEWEST_PRICED} of the month after it"
        )
    whole = [month for month in fit if month + horizon <= counts.index[-1]] or fit
    # The earliest third is only learned from, where there are months enough: its models know least.
    later = whole[len(whole) // 3 :] if len(whole) // 3 * 2 >= origins else whole
    places = np.unique(np.linspace(0, len(later) - 1, min(origins, len(later))).round().astype(int))
    return Backtest(
        dated, undated, data.market, [later[place] for place in places], horizon, _doubts(data)
    )


def run_backtest(
    plan: Backtest, how: CrossValidation, data: Data, to: Reporting, report: Path
) -> tuple[dict[str, Any], bool]:
    """Train and price at every origin; write tables and a picture, and log it all to MLflow.

    Return what ``report``, a JSON file, says, and whether an interrupted run was continued.

    Raises
    ------
    RefusedError
        If MLflow does not answer, or on Ctrl-C.
    """
    digest = plan_digest(
        {
            "version": __version__,
            "data": [data.market.data_digest, len(plan.listings)],
            "origins": [*map(str, plan.origins)],
            "horizon": plan.horizon,
            "train": how.train_used.model_dump(),
        }
    )
    params = {"origins": len(plan.origins), "horizon": plan.horizon, "quick": how.quick}
    parent = open_parent(to, BACKTEST, BACKTEST, data, plan=digest, params=params)
    measured = _measure_all(plan, how.train_used, parent, to)
    table, origins = by_horizon(measured), _origins_table(plan, measured)
    content = {
        "source": data.source,
        "data_digest": data.market.data_digest,
        "quick": how.quick,
        "rows": len(plan.listings),
        "rows_without_date": plan.undated,
        "months": [str(plan.listings["month"].iloc[place]) for place in (0, -1)],
        "doubts": plan.doubts,
        "origins": [
            {"origin": str(month), "horizons": [dict(one) for one in each]}
            for month, each in zip(plan.origins, measured, strict=True)
        ],
        "by_horizon": table.astype(object).where(table.notna(), None).to_dict("records"),
    }
    to.progress("tables and a picture")
    tables = {"by_horizon": table, "origins": origins}
    files = to.write(tables)
    files.append(to.out / "error_by_horizon.png")
    with writing(files[-1]) as path:
        draw_horizons(table, path)
    write_json(report, content)
    figures: dict[str, float] = {
        f"{name}_at_{int(row['horizon'])}": row[name]
        for row in table.to_dict("records")
        for name in SHOWN
    }
    parent.log(figures, tables, [*files, report], _note(plan, table, data))
    parent.finish()
    return content, parent.resumed


def by_horizon(measured: Sequence[Origin]) -> pd.DataFrame:
    """Return the mean of each figure over the origins, by horizon, with its 95 % interval.

    The interval is Student's, of the origins' figures; models of near origins share most of their
    rows, so that it is rather too short. Of one origin there is none.

    Examples
    --------
    >>> first = [{"horizon": 1, "rows": 50, "mape": 10.0, "mdape": 8, "bias": 1, "coverage": 90}]
    >>> found = by_horizon([first, [first[0] | {"mape": 12.0}]])
    >>> found[["horizon", "origins", "rows", "mape"]].to_dict("records")
    [{'horizon': 1, 'origins': 2, 'rows': 100, 'mape': 11.0}]
    >>> found[["mape_low", "mape_high"]].round(1).values.tolist()
    [[-1.7, 23.7]]
    """
    from scipy.special import stdtrit

    rows = []
    horizons = sorted({int(one["horizon"]) for each in measured for one in each})
    for horizon in horizons:
        own = [one for each in measured for one in each if one["horizon"] == horizon]
        count = len(own)
        row: dict[str, float] = {
            "horizon": horizon,
            "origins": count,
            "rows": int(sum(one["rows"] for one in own)),
        }
        for name in SHOWN:
            values = np.array([one[name] for one in own], dtype=np.float64)
            mean, reach = float(values.mean()), np.nan
            if count > 1:
                share = (1 + _CONFIDENCE) / 2
                reach = float(stdtrit(count - 1, share) * values.std(ddof=1) / np.sqrt(count))
            row |= {name: mean, f"{name}_low": mean - reach, f"{name}_high": mean + reach}
        rows.append(row)
    return pd.DataFrame(rows)


def shown_rows(content: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return the rows of the table that people see, of what a report says."""

    def told(row: Mapping[str, Any], name: str) -> str:
        mean, high = row[name], row[f"{name}_high"]
        return f"{mean:.1f}" if high is None else f"{mean:.1f} ± {high - mean:.1f}"

    return [
        (f"{row['horizon']}", *(told(row, name) for name in SHOWN), f"{row['rows']:,}")
        for row in content["by_horizon"]
    ]


def train_to(
    listings: pd.DataFrame, market: Market, settings: TrainSettings, progress: Progress
) -> PriceModel:
    """Train on listings of some months, as it would have been done after the last of them.

    Which prices to believe is found from these alone; ingest has judged them by the later ones too.
    """
    day = listings["listed_on"].max().date()
    own = replace(market, valuation_date=day, data_digest="")
    features = parse_listings(listings.drop(columns=PRICE_TRUST, errors="ignore"), own)
    log_price = np.log(listings[PRICE].to_numpy(dtype=np.float64))
    trust = None
    if PRICE_TRUST in listings and bool((listings[PRICE_TRUST] == 1).all()):
        trust = np.ones(len(listings))  # as ingest.junk: believe has it
    settings = settings.model_copy(update={"comparables": False})
    return PriceModel.fit(features, log_price, own, settings, progress, trust)


def _measure_all(
    plan: Backtest, settings: TrainSettings, parent: ParentRun, to: Reporting
) -> list[list[dict[str, float]]]:
    """Measure every origin; results of nested runs that finished before are taken from there."""
    known = parent.finished() if parent.resumed else {}
    parent.kill_running()
    (model,) = choose(COMPARED, ["carprice/log"])
    measured: list[list[dict[str, float]]] = []
    for number, origin in enumerate(plan.origins, start=1):
        name, place = str(origin), f"{number} of {len(plan.origins)}: trained to {origin}"
        if name in known:
            measured.append([dict(one) for one in known[name]])
            continue
        run = parent.begin(name, {"origin": name, **flatten(settings.model_dump(), "parameters.")})
        try:
            found = _measure(plan, origin, settings, partial(_tell, to.progress, place))
        except KeyboardInterrupt:
            parent.kill(run, parent.id)
            raise RefusedError(
                f"interrupted after {len(measured)} of {len(plan.origins)} origins; the same "
                "command goes on from there"
            ) from None
        except Exception:
            parent.kill(run, parent.id)
            raise
        parent.end(run, Result(model, tuple(found)), "complete")
        measured.append(found)
        errors = ", ".join(f"{one['mape']:.1f}" for one in found)
        to.done(f"{place}: MAPE {errors} % by month")
    return measured


def _tell(progress: Progress, place: str, step: str) -> None:
    progress(f"{place}, {step}")


def _measure(
    plan: Backtest, origin: pd.Period, settings: TrainSettings, progress: Progress
) -> list[dict[str, float]]:
    """Train to the end of a month; return the figures of the cars of each month after it."""
    months = plan.listings["month"]
    learned = plan.listings[months <= origin]
    begun = time.perf_counter()
    model = train_to(learned, plan.market, settings, progress)
    fitted = time.perf_counter() - begun
    found = []
    for horizon in range(1, plan.horizon + 1):
        rows = plan.listings[months == origin + horizon]
        if CAR in rows:
            rows = rows[~rows[CAR].isin(learned[CAR])]
        cars = _not_learned(model, believed(first_of_each_car(rows))) if len(rows) else rows
        if len(cars) < FEWEST_PRICED:
            continue
        progress(f"pricing month {horizon}")
        begun = time.perf_counter()
        prices = model.predict(as_columns(cars))
        actual: Floats = cars[PRICE].to_numpy(dtype=np.float64)
        found.append(
            {
                "horizon": float(horizon),
                "rows": float(len(cars)),
                "rows_train": float(len(learned)),
                **price_metrics(actual, prices.price),
                **range_metrics(actual, prices.price, prices.low, prices.high),
                "bias": float(100 * np.log(prices.price / actual).mean()),
                "fit_seconds": fitted,
                "predict_seconds": time.perf_counter() - begun,
            }
        )
    return found


def _not_learned(model: PriceModel, listings: pd.DataFrame) -> pd.DataFrame:
    """Return the listings of cars that a model did not learn from, as deals know them again.

    Where ``ingest.repeats`` is ``ignore``, listings do not say which are of one car.
    """
    known = [*map(model.pricer.learned_from, listings_of(as_columns(listings)))]
    return listings[~np.array(known, dtype=bool)]


def _origins_table(plan: Backtest, measured: Sequence[Origin]) -> pd.DataFrame:
    names = ("horizon", "rows_train", "rows", *SHOWN, "within_10", "median_width", "fit_seconds")
    return pd.DataFrame(
        [
            {"origin": str(origin), **{name: one[name] for name in names}}
            for origin, each in zip(plan.origins, measured, strict=True)
            for one in each
        ]
    )


def _doubts(data: Data) -> str:
    """Return why the dates may be invented, as the look at the data tells it."""
    listings = pd.read_parquet(Workspace(data.file.parents[2]).train_listings)
    sure = believed(listings)
    undated = parse_listings(sure.drop(columns="listed_on").assign(listed_on=pd.NaT), data.market)
    price = sure[PRICE].to_numpy(dtype=np.float64)
    if not np.ptp(price):
        return ""
    expected = expected_log_price(undated, np.log(price), data.market.distance_unit, {})
    drift = find_drift(
        sure["listed_on"].to_numpy(dtype="datetime64[D]"),
        sure["year"].to_numpy(dtype=np.float64),
        price,
        None if expected is None else np.log(price) - expected,
        loss_per_year(undated, np.log(price)),
    )
    return drift_in_words(drift) if drift.verdict is DriftVerdict.NO_DRIFT else ""


def _note(plan: Backtest, table: pd.DataFrame, data: Data) -> str:
    """Return the table as Markdown, which MLflow's pages show as the run's description."""
    content = {"by_horizon": table.astype(object).where(table.notna(), None).to_dict("records")}
    lines = [
        f"{len(plan.listings):,} dated listings of `{data.source}`; models trained to the ends of "
        f"{', '.join(map(str, plan.origins))}, each tried on cars of the months after it that it "
        "did not learn from. Mean over the origins ± 95 %, per cent; bias is the mean of "
        f"ln(predicted / price).{' **' + plan.doubts + '**' if plan.doubts else ''}",
        "",
        "| month | MAPE | MdAPE | bias | 90 % range covers | cars |",
        "| --- | --- | --- | --- | --- | --- |",
        *(f"| {' | '.join(row)} |" for row in shown_rows(content)),
    ]
    return "\n".join(lines)
