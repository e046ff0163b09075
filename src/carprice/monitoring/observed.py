"""Prices that were seen, beside what the model says of such cars on such days."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from carprice.arrays import Codes, Floats
from carprice.listings.cars import car_digests
from carprice.listings.features import Features, Reading, listings_of, parse
from carprice.listings.frames import as_columns
from carprice.model import PriceModel
from carprice.model.reference import FEWEST_ROWS, Middle, middle_of, rows_of, segments_of
from carprice.monitoring.records import (
    ASKING_PRICE,
    CURRENCY,
    HIGH,
    LISTED,
    LOW,
    MODEL_DIGEST,
    MODEL_VERSION,
    OBSERVATION_COLUMNS,
    OBSERVED_ON,
    OBSERVED_PRICE,
    OFFERED,
    PRICE,
    SOLD,
    SOURCE,
)
from carprice.schema import EQUIPMENT_SEPARATOR, KINDS, NUMERIC, FieldKind, bounds, kind_of, own_of
from carprice.settings import MonitorSettings

_RANK: Final = {SOLD: 1, LISTED: 0}
_ARRAYS: Final = (
    *("off", "half", "below", "above", "inside", "predicted", "plain"),
    *("quoted", "quoted_inside", "is_ours", "day"),
)
_ROUND: Final = 1_000.0

Days = npt.NDArray[np.datetime64]


@dataclass(frozen=True)
class Observed:
    """n cars with the price that each was seen at, one row a car.

    Attributes
    ----------
    off : ln(price / predicted), on the scale of the prices that training learned from: what is
        negotiated is taken out where it is known.
    half : half the width of the range at 90 %, in ln(price).
    below, above : the two parts of that width, below and above the predicted price.
    inside : 1 where that price lies in the range, else 0.
    predicted, plain : what the model says, and what it says without its correction, by which
        training's cars were parted.
    day : of the observed price.
    quoted, quoted_inside : the price that had been answered, and whether the observed one lay in
        its range; NaN where nothing was answered.
    is_ours : 1 where this model had answered, else 0.
    source, version : as observations have them; the version is empty where nothing was answered.
    segments : the name of each car's segment, by what parts them.
    gap : what cars were sold for beside what was asked for them, in ln(price); None where too few
        outcomes have both.
    left_out : numbers of observations that do not count, by reason.
    """

    features: Features
    off: Floats
    half: Floats
    below: Floats
    above: Floats
    inside: Floats
    predicted: Floats
    plain: Floats
    quoted: Floats
    quoted_inside: Floats
    is_ours: Floats
    day: Days
    source: Sequence[str]
    version: Sequence[str]
    segments: Mapping[str, Sequence[str]]
    gap: Middle | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.off)

    def take(self, rows: Codes) -> "Observed":
        """Return the given rows."""
        picked = rows.tolist()
        return replace(
            self,
            features=self.features.take(rows),
            source=[self.source[row] for row in picked],
            version=[self.version[row] for row in picked],
            segments={
                kind: [names[row] for row in picked] for kind, names in self.segments.items()
            },
            **{name: getattr(self, name)[rows] for name in _ARRAYS},
        )

    def since(self, days: int) -> "Observed":
        """Return those of so many days up to the newest one."""
        if not len(self):
            return self
        return self.take(np.flatnonzero(self.day > self.day.max() - np.timedelta64(days, "D")))

    def months(self) -> Iterator[tuple[str, Codes]]:
        """Yield each month, such as 2025-06, with its rows."""
        return rows_of(self.day.astype("datetime64[M]").astype(str).tolist())


def as_listings(frame: pd.DataFrame, model: PriceModel, day: pd.Series) -> pd.DataFrame:
    """Return the listings of a log or of observations as the model reads them.

    Parameters
    ----------
    frame : with the fields of a listing; what it lacks is missing.
    day : what each price is for.
    """
    own = own_of({*model.own, *map(str, frame.columns)})
    listings = {}
    for name in (*KINDS, *own):
        values = frame[name] if name in frame else pd.Series(None, frame.index, dtype=object)
        kind = kind_of(name)
        if kind in NUMERIC:
            numbers = pd.to_numeric(values, errors="coerce").astype(np.float64)
            low, high = bounds(name)
            listings[name] = numbers.where(numbers.between(low, high))
        elif kind is FieldKind.EQUIPMENT:
            listings[name] = values.map(_joined).astype(object)
        elif kind is FieldKind.FLAG:
            listings[name] = values.map(_flag).astype(object)
        elif kind is FieldKind.TEXT:
            listings[name] = values.astype(object).where(values.notna(), None)
    listings["listed_on"] = day
    return pd.DataFrame(listings, index=frame.index)


def days_of(values: pd.Series) -> pd.Series:
    """Return days without a time; NaT where there is none. Texts and time stamps are read."""
    found = pd.to_datetime(values, errors="coerce", utc=True).dt.tz_localize(None)
    return found.dt.normalize().astype("datetime64[s]")


def one_of_each_car(listings: pd.DataFrame, price: Floats, rank: Floats) -> Codes:
    """Return one row of each car, of the highest rank, and of these the last day.

    Two cars may be alike in all that is told; those without an odometer, or a rounded one, are one
    car only where the price is the same too.
    """
    odometer = listings["odometer"].to_numpy(dtype=np.float64)
    is_certain = (odometer >= _ROUND) & (odometer % (_ROUND / 2) != 0)
    digests = car_digests(listings)
    car = pd.DataFrame({"car": digests, "price": np.where(is_certain, 0.0, price)})
    day = listings["listed_on"].to_numpy(dtype="datetime64[s]").astype(np.int64)
    order = np.lexsort((day, rank))[::-1]
    kept = ~car.iloc[order].duplicated().to_numpy()
    return np.asarray(np.sort(order[kept]), dtype=np.intp)


def features_of(listings: pd.DataFrame, model: PriceModel) -> Features:
    """Return the features of listings as training's were read, with all values as they are."""
    day, unit = model.market.valuation_date, model.market.distance_unit
    return parse(as_columns(listings), day, unit, Reading(own=own_of(listings.columns)))


def in_another_currency(frame: pd.DataFrame, model: PriceModel) -> npt.NDArray[np.bool_]:
    """Return which answers, or observations with an answer, are not in the model's currency."""
    told = frame[CURRENCY]
    is_other = told.notna() & (told != "") & (told != model.market.currency)
    return np.asarray(is_other, dtype=np.bool_)


def plain_prices(model: PriceModel, features: Features) -> Floats:
    """Return what a model says without its correction."""
    plain = model if model.correction is None else replace(model, correction=None)
    return plain.pricer.prices(features).price


def price_observations(
    model: PriceModel, observations: pd.DataFrame, settings: MonitorSettings
) -> Observed:
    """Price the cars of observations on the day of each, and compare.

    What somebody would have paid is no price of a car, and does not count; nor does what the
    model's correction was learned from, or what was seen before that.

    Parameters
    ----------
    observations : columns :data:`carprice.monitoring.records.OBSERVATION_COLUMNS`, then fields of
        a listing.
    """
    left_out: Counter[str] = Counter()
    frame = observations.reset_index(drop=True)
    frame = frame.reindex(columns=[*dict.fromkeys((*OBSERVATION_COLUMNS, *KINDS, *frame.columns))])
    price = pd.to_numeric(frame[OBSERVED_PRICE], errors="coerce").to_numpy(dtype=np.float64)
    day = days_of(frame[OBSERVED_ON])
    listings = as_listings(frame, model, day)
    names = listings[["make", "model"]].notna().all(axis=1).to_numpy()
    with np.errstate(invalid="ignore"):
        fit = (price > 0) & np.isfinite(price) & day.notna().to_numpy()
    fit &= names & listings["year"].notna().to_numpy()
    left_out["without make, model, year, day or price"] = int((~fit).sum())
    source = frame[SOURCE].astype(str).to_numpy()
    is_elsewhere = fit & in_another_currency(frame, model)
    left_out["of an answer in another currency"] = int(is_elsewhere.sum())
    fit &= ~is_elsewhere
    is_offer = fit & (source == OFFERED)
    left_out["offered, and not sold"] = int(is_offer.sum())
    fit &= ~is_offer
    if model.correction is not None:
        is_learned = fit & (day <= pd.Timestamp(model.correction.until)).to_numpy()
        left_out["of days that the model's correction knows"] = int(is_learned.sum())
        fit &= ~is_learned
    rows = np.flatnonzero(fit)
    rank = np.array([_RANK.get(one, 0) for one in source], dtype=np.float64)
    once = one_of_each_car(listings.iloc[rows], price[rows], rank[rows])
    left_out["the same car again"] = len(rows) - len(once)
    rows = rows[once]
    given = [*listings_of(as_columns(listings.iloc[rows]))]
    known = np.array([model.pricer.learned_from(one) for one in given], dtype=bool)
    left_out["of a car that the model learned from"] = int(known.sum())
    rows, given = (
        rows[~known],
        [one for one, is_known in zip(given, known, strict=True) if not is_known],
    )
    priced = model.pricer.prices(given)
    features = features_of(listings.iloc[rows], model)
    off, gap = _compared(frame.iloc[rows], np.log(price[rows]), np.log(priced.price), settings)
    low, high = np.log(priced.low), np.log(priced.high)
    shifted = off + np.log(priced.price)
    edges = model.reference.edges["fifths"] if model.reference else ()
    plain = priced.price if model.correction is None else plain_prices(model, features)
    version = frame[MODEL_VERSION].iloc[rows]
    quoted, quoted_low, quoted_high = (
        pd.to_numeric(frame[name].iloc[rows], errors="coerce").to_numpy(dtype=np.float64)
        for name in (PRICE, LOW, HIGH)
    )
    seen = np.exp(shifted)
    within = np.where(np.isnan(quoted), np.nan, (quoted_low <= seen) & (seen <= quoted_high))
    return Observed(
        features=features,
        off=off,
        half=(high - low) / 2,
        below=np.log(priced.price) - low,
        above=high - np.log(priced.price),
        inside=((low <= shifted) & (shifted <= high)).astype(np.float64),
        predicted=priced.price,
        plain=plain,
        quoted=quoted,
        quoted_inside=within,
        is_ours=(frame[MODEL_DIGEST].iloc[rows] == model.digest).to_numpy(dtype=np.float64),
        day=day.iloc[rows].to_numpy(dtype="datetime64[D]"),
        source=source[rows].tolist(),
        version=version.where(version.notna(), "").astype(str).tolist(),
        segments=segments_of(features, plain, edges),
        gap=gap,
        left_out={reason: number for reason, number in left_out.items() if number},
    )


def _compared(
    frame: pd.DataFrame, price: Floats, predicted: Floats, settings: MonitorSettings
) -> tuple[Floats, Middle | None]:
    """Return how far prices are from the model's, each on the scale of those of training.

    A sale whose asking price is known tells both: what was asked is compared, what was given way is
    the gap. Of other sales the usual gap is taken out, where it is known.
    """
    asked = pd.to_numeric(frame[ASKING_PRICE], errors="coerce").to_numpy(dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        asking = np.where(asked > 0, np.log(asked), np.nan)
    is_sold = (frame[SOURCE] == SOLD).to_numpy()
    both = is_sold & np.isfinite(asking)
    gap = middle_of((price - asking)[both]) if both.sum() >= FEWEST_ROWS else None
    usual = gap.level if gap else 0.0
    if settings.prices == "sold":
        return np.where(is_sold, price, price + usual) - predicted, gap
    own = np.where(both, asking, np.where(is_sold, price - usual, price))
    return own - predicted, gap


def _joined(value: Any) -> str | None:
    if isinstance(value, str):
        return value or None
    if isinstance(value, list | tuple | np.ndarray):
        return EQUIPMENT_SEPARATOR.join(map(str, value))
    return None


def _flag(value: Any) -> Any:
    plain = value.item() if isinstance(value, np.generic) else value
    return None if plain != plain else plain  # noqa: PLR0124 - NaN
