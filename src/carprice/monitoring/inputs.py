"""What comes in: names and values that training did not have, and another mix of cars than it had.

Whether a difference is more than chance is found by drawing: both groups of cars are put together
and parted again at random (:func:`carprice.monitoring.chance.permuted`). The population stability
index is told beside it, and decides nothing.
"""

import datetime
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.random import Generator

from carprice.arrays import Floats
from carprice.listings.features import Features
from carprice.model import PriceModel
from carprice.model.reference import (
    BINNED,
    NAMES,
    REST,
    Reference,
    binned,
    missing_in,
    names_in,
    numbers_of,
)
from carprice.monitoring.chance import certain, permuted, share_above
from carprice.monitoring.checks import Chart, Check, Level, Table
from carprice.monitoring.observed import (
    as_listings,
    days_of,
    features_of,
    in_another_currency,
    one_of_each_car,
    plain_prices,
)
from carprice.monitoring.records import (
    ANSWERED_AT,
    CAUTIONS,
    CURRENCY,
    PRICE,
    PROBLEM,
    SHADOW,
    VALUATION_DATE,
)
from carprice.schema import KINDS
from carprice.settings import MonitorSettings

_ODD: Final = ("out_of_range", "implausible")
_MOST_SHOWN: Final = 15
_LEAST_SHARE: Final = 1e-4


@dataclass(frozen=True)
class Cars:
    """Cars that came in, each once.

    Attributes
    ----------
    numbers : those of :func:`carprice.model.reference.numbers_of`.
    is_odd : 1 for each whose answer warned of a value out of range, else 0.
    first, last : days of the answers, ISO 8601.
    answers : their number; a car may have several.
    elsewhere : number of answers in another currency, which do not count.
    """

    features: Features
    numbers: Mapping[str, Floats]
    is_odd: Floats
    first: str | None = None
    last: str | None = None
    answers: int = 0
    elsewhere: int = 0

    def __len__(self) -> int:
        return len(self.is_odd)


@dataclass(frozen=True)
class Change:
    """A share of the cars that differs from training's.

    Attributes
    ----------
    what : ``mix``, ``missing`` or ``unseen``.
    field, value : what differs most, and its value; empty where it is none of the mix.
    now, before : shares.
    chance : p-value of no difference.
    psi : population stability index of the field; told, and nothing else.
    """

    what: str
    field: str
    value: str
    now: float
    before: float
    chance: float
    psi: float

    @property
    def by(self) -> float:
        """The difference of the shares."""
        return self.now - self.before


def read_answers(model: PriceModel, log: pd.DataFrame, days: int) -> Cars:
    """Read the cars of so many days up to the newest answer; each counts once.

    Prices are the model's own, as training's are: without its correction, whatever was answered.
    What was priced beside an answer (shadow) and what was refused do not count.
    """
    frame = log.reset_index(drop=True)
    needed = (ANSWERED_AT, CAUTIONS, CURRENCY, PRICE, PROBLEM, SHADOW, VALUATION_DATE)
    frame = frame.reindex(columns=[*dict.fromkeys((*needed, *KINDS, *frame.columns))])
    price = pd.to_numeric(frame[PRICE], errors="coerce").to_numpy(dtype=np.float64)
    day = days_of(frame[ANSWERED_AT])
    listings = as_listings(frame, model, days_of(frame[VALUATION_DATE]).fillna(day))
    shadowed = frame[SHADOW].map(lambda one: one is True or one == 1).to_numpy(dtype=bool)
    refused = frame[PROBLEM].map(lambda one: isinstance(one, str) and one != "")
    fit = (price > 0) & ~shadowed & ~refused.to_numpy(dtype=bool) & day.notna().to_numpy()
    fit &= listings[["make", "model", "year"]].notna().all(axis=1).to_numpy()
    is_elsewhere = fit & in_another_currency(frame, model)
    fit &= ~is_elsewhere
    if fit.any():
        fit &= (day > day[fit].max() - datetime.timedelta(days=days)).to_numpy()
    rows = np.flatnonzero(fit)
    once = rows[one_of_each_car(listings.iloc[rows], price[rows], np.zeros(len(rows)))]
    odd = frame[CAUTIONS].iloc[once].map(_is_odd).to_numpy(dtype=np.float64)
    features = features_of(listings.iloc[once], model)
    first, last = (
        (str(end.date()) for end in (day[fit].min(), day[fit].max())) if len(rows) else ("", "")
    )
    numbers = numbers_of(features, plain_prices(model, features), model.market)
    elsewhere = int(is_elsewhere.sum())
    return Cars(features, numbers, odd, first or None, last or None, len(rows), elsewhere)


def _is_odd(cautions: Any) -> float:
    told = cautions if isinstance(cautions, list | tuple | np.ndarray) else ()
    return float(any(str(one).startswith(_ODD) for one in told))


def mix_of(model: PriceModel, reference: Reference, cars: Cars, random: Generator) -> list[Change]:
    """Compare the shares of the values of each field with training's, of the cars that tell it.

    Makes and models that training did not have are no part of it, see :func:`told_of`.
    """
    found = []
    for field, every in reference.shares.items():
        before = {name: rows for name, rows in every.items() if name}
        counts = _counts(field, every, cars, reference)
        counts[""] = 0
        if field in NAMES and REST in counts:
            counts[REST] -= _unseen(model, field, cars)
        now = {name: rows for name, rows in counts.items() if rows}
        if len({*before, *now}) > 1:
            found.append(_change("mix", field, now, before, random))
    return found


def told_of(model: PriceModel, reference: Reference, cars: Cars, random: Generator) -> list[Change]:
    """Compare the shares of missing values, and of names that training did not have."""
    rows, found = len(cars), []
    missing = {name: int(gone.sum()) for name, gone in missing_in(cars.features).items()}
    known = dict(reference.missing)
    for field, every in reference.shares.items():
        if field not in NAMES:
            missing[field] = _counts(field, every, cars, reference)[""]
            known[field] = every.get("", 0)
    for field, gone in missing.items():
        before = _both(known[field], reference.rows)
        found.append(_change("missing", field, _both(gone, rows), before, random))
    for name in NAMES:
        if model.hedonic.coefficients.get(name):
            before = _both(reference.once[name], reference.rows)
            now = _both(_unseen(model, name, cars), rows)
            found.append(_change("unseen", name, now, before, random))
    return found


def _unseen(model: PriceModel, name: str, cars: Cars) -> int:
    """Return how many cars have a make, model or variant that training did not have."""
    trained = model.hedonic.coefficients[name]
    return sum(one not in trained for one in names_in(cars.features, name) if one)


def _counts(
    field: str, before: Mapping[str, int], cars: Cars, reference: Reference
) -> Counter[str]:
    if field in BINNED:
        names: Sequence[str] = binned(cars.numbers[field], reference.edges[field])
    else:
        names = cars.features.texts.get(field, [""] * len(cars))
    return Counter(name if name in before or not name else REST for name in names)


def _both(hits: int, rows: int) -> dict[str, int]:
    return {"": hits, "known": rows - hits}


def _change(
    what: str, field: str, now: Mapping[str, int], before: Mapping[str, int], random: Generator
) -> Change:
    names = [*dict.fromkeys((*before, *now))]
    counts = [
        np.array([one.get(name, 0) for name in names], dtype=np.float64) for one in (now, before)
    ]
    chance, worst = permuted(counts[0], counts[1], random)
    if what != "mix":
        worst = 0
    shares = [one / max(one.sum(), 1) for one in counts]
    kept = [np.maximum(one, _LEAST_SHARE) for one in shares]
    psi = float(np.sum((kept[0] - kept[1]) * np.log(kept[0] / kept[1])))
    return Change(
        what, field, names[worst], float(shares[0][worst]), float(shares[1][worst]), chance, psi
    )


def sure_changes(
    changes: Sequence[Change], settings: MonitorSettings, chance: float
) -> list[Change]:
    """Return the differences that are more than chance, and larger than is put up with."""
    are_sure = certain([one.chance for one in changes], chance)
    found = [
        one
        for one, is_sure in zip(changes, are_sure, strict=True)
        if is_sure and abs(one.by) > settings.mix and (one.what != "unseen" or one.by > 0)
    ]
    return sorted(found, key=lambda one: -abs(one.by))


def input_checks(
    changes: Sequence[Change],
    sure: Sequence[Change],
    cars: Cars,
    reference: Reference,
    settings: MonitorSettings,
    chance: float,
) -> list[Check]:
    """Tell the differences of what comes in, and how many answers had to warn of a value."""
    checks = []
    for what, words in (
        ("unseen", "names that training did not have"),
        ("missing", "missing values"),
        ("mix", "shares of the cars"),
    ):
        own = [one for one in changes if one.what == what]
        if not own:
            continue
        found = [one for one in sure if one.what == what]
        told = "; ".join(told_change(one, reference) for one in found[:4])
        checks.append(
            Check(
                f"input_{what}",
                "input",
                Level.LOOK if found else Level.FINE,
                f"{words}: {told or 'as in training, as far as is put up with'}",
                {"cars": len(cars), what: [_values(one, found) for one in own]},
            )
        )
    hits, rows = int(cars.is_odd.sum()), len(cars)
    p_value = share_above(hits, rows, settings.odd)
    checks.append(
        Check(
            "input_odd",
            "input",
            Level.LOOK if p_value <= chance else Level.FINE,
            f"answers that warn of a value out of range: {100 * hits / rows:.1f} % of {rows:,} "
            f"cars; {100 * settings.odd:g} % are put up with",
            {"cars": rows, "odd": hits, "share": hits / rows, "chance": p_value},
        )
    )
    return checks


def _values(one: Change, found: Sequence[Change]) -> dict[str, Any]:
    return {
        "field": one.field,
        "value": one.value,
        "share": one.now,
        "share_in_training": one.before,
        "chance": one.chance,
        "psi": one.psi,
        "is_finding": one in found,
    }


def told_change(one: Change, reference: Reference) -> str:
    """Tell a difference in words."""
    now, before = (f"{100 * share:.1f} %" for share in (one.now, one.before))
    if one.what == "unseen":
        return (
            f"{now} of the cars have another {one.field} than any of training ({before} expected)"
        )
    if one.what == "missing":
        return f"{one.field} is missing in {now}, in training in {before}"
    value = one.value
    if one.field in BINNED:
        value = bin_told(reference.edges[one.field], int(value))
    elif value == REST:
        value = "of all rarer ones"
    return f"{one.field} {value}: {now} of the cars that tell it, in training {before}"


def bin_told(edges: Sequence[float], place: int) -> str:
    """Return the bin of a number in words.

    Examples
    --------
    >>> [bin_told([2.31, 1500.0], place) for place in range(3)]
    ['below 2.3', '2.3 to 1,500', 'from 1,500']
    """
    told = [f"{edge:,.0f}" if edge >= 100 else f"{edge:.1f}" for edge in edges]
    if place == 0:
        return f"below {told[0]}"
    return f"from {told[-1]}" if place == len(told) else f"{told[place - 1]} to {told[place]}"


def input_charts(cars: Cars, reference: Reference) -> list[Chart]:
    """Draw the shares of each field's values beside training's."""
    charts = []
    for field, before in reference.shares.items():
        counts = _counts(field, before, cars, reference)
        shown = [*dict.fromkeys((*before, *counts))]
        if field not in BINNED:
            shown = sorted(shown, key=lambda name: -max(counts[name], before.get(name, 0)))
        if len(shown) < 2:
            continue
        rows = [
            (
                _name_shown(field, name, reference),
                100 * counts[name] / len(cars),
                100 * before.get(name, 0) / reference.rows,
            )
            for name in shown[:_MOST_SHOWN]
        ]
        charts.append(
            Chart(
                f"share_by_{field.replace(':', '_')}",
                "input",
                f"Cars by {field}, beside training",
                "bar",
                Table((field, "share", "in training"), rows),
                "share",
                reference="in training",
                unit="%",
            )
        )
    return charts


def _name_shown(field: str, name: str, reference: Reference) -> str:
    if name == "":
        return "missing"
    if name == REST:
        return "all others"
    return bin_told(reference.edges[field], int(name)) if field in BINNED else name


def mix_of_fresh(
    changes: Sequence[Change], sure: Sequence[Change], cars: Cars, reference: Reference
) -> Check:
    """Tell the mix of fresh listings."""
    told = "; ".join(told_change(one, reference) for one in sure[:4])
    return Check(
        "fresh_mix",
        "input",
        Level.LOOK if sure else Level.FINE,
        f"shares of fresh listings: {told or 'as in training, as far as is put up with'}",
        {"cars": len(cars), "mix": [_values(one, sure) for one in changes]},
    )
