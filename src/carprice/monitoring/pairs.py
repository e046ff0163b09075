"""The same cars priced by two models, beside the prices that were seen: what a challenge rests on.

Both models price each listing again themselves, as the service would. What counts is seen after
the evidence begins and after the listings of both models end, is of no car that one of them learned
from, and is the first price seen of its car.

A step that is over stays as it is: a sale counts on the day on which it was told, as it was told by
the end of that step. What is told later, or corrected, changes nothing that was looked at.
"""

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from carprice.arrays import Floats
from carprice.evaluation.pricing import problems_of
from carprice.listings.features import listings_of
from carprice.listings.frames import as_columns
from carprice.listings.market import check_units
from carprice.model import PriceModel
from carprice.model.learned import CarKeys
from carprice.monitoring.challenge import Served
from carprice.monitoring.outcomes import Outcome
from carprice.monitoring.records import (
    ANSWERED_AT,
    LISTED,
    MILLISECONDS,
    MODEL_DIGEST,
    OBSERVED_ON,
    OBSERVED_PRICE,
    PROBLEM,
    ROUTE,
    SOLD,
    SOURCE,
    TOLD_ON,
)
from carprice.monitoring.sequential import Difference, difference_of, residuals_of, step_of
from carprice.schema import own_of
from carprice.settings import ChallengeSettings

COUNTED: Final = (SOLD, LISTED)
"""Sources that count; a price that was offered is nobody's."""


@dataclass(frozen=True)
class Pairs:
    """How far a challenger and the champion are off for n cars.

    Attributes
    ----------
    ours, theirs : residuals of challenger and champion, as
        :func:`carprice.monitoring.sequential.residuals_of` has them.
    days, sources : the day on which each price counts, and where it was seen.
    left_out : how many observations do not count, by why.
    notes : what else is to be said of them.
    """

    ours: Floats
    theirs: Floats
    days: npt.NDArray[np.datetime64]
    sources: npt.NDArray[np.str_]
    left_out: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def difference(self, limits: ChallengeSettings, source: str = "") -> Difference:
        """Compare their errors, of one source or of all."""
        some = self.sources == source if source else np.full(len(self.ours), True)
        ours, theirs, days = self.ours[some], self.theirs[some], self.days[some]
        return difference_of(ours, theirs, days, limits.level, limits.step_days)


NO_PAIRS: Final = Pairs(
    np.empty(0), np.empty(0), np.empty(0, dtype="datetime64[D]"), np.empty(0, dtype=str)
)


def settled(told: Iterable[Outcome], step: int) -> list[Outcome]:
    """Return the outcome that counts of each quote and each car, the one told first first.

    It is the one that stood at the end of the first step, of so many days, at which a sale did. Its
    ``received_at`` is in that step.

    Parameters
    ----------
    told : all outcomes, as :meth:`carprice.monitoring.outcomes.OutcomeStore.told` has them.
    """
    by_subject: dict[str, list[Outcome]] = {}
    for one in told:
        by_subject.setdefault(one.subject, []).append(one)
    found = [_settled(history, step) for history in by_subject.values()]
    return sorted(found, key=_told_on)


def _settled(history: list[Outcome], step: int) -> Outcome:
    last = history[0]
    for _, together in groupby(history, lambda one: step_of(_told_on(one), step)):
        for one in together:
            if one.revision >= last.revision:
                last = one
        if last.kind == SOLD:
            return replace(last, received_at=one.received_at)
    return last


def _told_on(outcome: Outcome) -> datetime.date:
    return (outcome.received_at or datetime.datetime.max).date()


def paired(
    champion: PriceModel,
    challenger: PriceModel,
    observed: pd.DataFrame,
    since: datetime.date,
    until: datetime.date = datetime.date.max,
) -> Pairs:
    """Price all that was seen from a day on with two models.

    Parameters
    ----------
    observed : as :func:`carprice.monitoring.observations.observe` has it.
    since : the first day that counts; those up to the valuation date of a model do not either.
    until : the first day that does not count yet, see
        :func:`carprice.monitoring.sequential.end_of_steps`. A sale counts on the day on which it
        was told, where that is known.

    Raises
    ------
    InputError
        If the models are of different markets.
    """
    check_units(
        champion.market.units,
        challenger.market.units,
        "one model prices in {ours}, the other in {theirs}, and no price can be held against both; "
        "challenge with a version of the same market: carprice challenge start",
    )
    models = champion, challenger
    notes = tuple(
        f"{who} does not tell which cars it learned from: they count too, and make it look better"
        for who, model in zip(("the older model", "the newer model"), models, strict=True)
        if model.learned is None
    )
    learned_until = max(model.market.valuation_date for model in models)
    left_out: dict[str, int] = {}

    def kept(rows: pd.DataFrame, good: "pd.Series[bool] | npt.NDArray[np.bool_]", why: str) -> Any:
        if count := int((~good).sum()):
            left_out[why] = count
        return rows.loc[good]

    rows = observed.reset_index(drop=True)
    days = pd.to_datetime(rows[OBSERVED_ON])
    rows = kept(
        rows, rows[SOURCE].isin(COUNTED) & (rows[OBSERVED_PRICE] > 0), "neither sold nor listed"
    )
    is_new = (days >= pd.Timestamp(since)) & (days > pd.Timestamp(learned_until))
    rows = kept(
        rows, is_new.loc[rows.index], "seen before the challenge, or before the models' data end"
    )
    counted = pd.to_datetime(rows[TOLD_ON]).fillna(days)
    rows = kept(
        rows, counted.dt.date < until, "seen or told on the last days, whose step is not over"
    )
    if len(rows):
        rows = kept(rows, problems_of(rows, {}) == "", "no listing that can be priced")
    if not len(rows):
        return replace(NO_PAIRS, left_out=left_out, notes=notes)
    asked = [_asked(model, rows) for model in models]
    keys = [_keys_of(model, listings) for model, listings in zip(models, asked, strict=True)]
    known = np.zeros(len(rows), dtype=bool)
    for model, found in zip(models, keys, strict=True):
        if model.learned is not None:
            known |= np.array([model.learned.has(one) for one in found])
    prices = [
        model.pricer.prices(listings).price for model, listings in zip(models, asked, strict=True)
    ]
    table = pd.DataFrame(
        {
            "day": counted.loc[rows.index].to_numpy("datetime64[D]"),
            "source": rows[SOURCE].astype(str).to_numpy(),
            "car": [f"{one}" for one, _ in keys[0]],
            "rank": rows[SOURCE].map(COUNTED.index).to_numpy(),
            **{
                name: residuals_of(rows[OBSERVED_PRICE].to_numpy(np.float64), price)
                for name, price in zip(("theirs", "ours"), prices, strict=True)
            },
        }
    )
    table = kept(table, ~known, "of a car that a model learned from")
    table = table.sort_values(["day", "rank"], kind="stable")
    table = kept(table, ~table["car"].duplicated(), "of a car that was seen before")
    return Pairs(
        table["ours"].to_numpy(np.float64),
        table["theirs"].to_numpy(np.float64),
        table["day"].to_numpy("datetime64[D]"),
        table["source"].to_numpy(str),
        left_out,
        notes,
    )


def served(log: pd.DataFrame, champion: str, challenger: str, since: datetime.datetime) -> Served:
    """Return how a challenger fared in the service since a moment, beside the champion.

    Parameters
    ----------
    log : as :func:`carprice.monitoring.observations.read_log` has it.
    champion, challenger : digests of the models. Their times are those of the route that the
        challenger priced for most.
    """
    if not len(log):
        return Served()
    recent = log.loc[pd.to_datetime(log[ANSWERED_AT], utc=True) >= pd.Timestamp(since)]
    failed, is_ours = recent[PROBLEM].fillna("") != "", recent[MODEL_DIGEST] == challenger
    routes = recent.loc[is_ours, ROUTE].mode()
    alike = recent.loc[~failed & recent[ROUTE].isin(routes.head(1))]

    def milliseconds(digest: str) -> float:
        return float(alike.loc[alike[MODEL_DIGEST] == digest, MILLISECONDS].median())

    ours, theirs = milliseconds(challenger), milliseconds(champion)
    return Served(int(is_ours.sum()), int((is_ours & failed).sum()), ours, theirs)


def _asked(model: PriceModel, rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Return listings with those own columns that a model knows."""
    unknown = {*own_of(rows.columns)} - {*model.own}
    return [*listings_of(as_columns(rows.drop(columns=[*unknown])))]


def _keys_of(model: PriceModel, listings: list[dict[str, Any]]) -> list[tuple[int, int]]:
    keys = CarKeys(model.market, model.reading, reads_variants=model.knows_variants)
    return [keys.keys_of(one) for one in listings]
