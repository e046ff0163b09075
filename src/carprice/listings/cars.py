"""Which listings are of one car, and what is kept of a car that is listed more than once.

A car that is listed again, in another city or at another price, says nothing new. If one of its
listings is learned from and another is tested on, the test tells how well prices are remembered.
"""

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from carprice.arrays import Codes, coded
from carprice.listings.believed import PRICE_TRUST, first_believed
from carprice.listings.cells import categories
from carprice.listings.features import CATEGORIES, name_of
from carprice.listings.market import km_per_unit
from carprice.listings.variants import parse_variant
from carprice.schema import CAR_ID, FIELDS, NUMERIC, PRICE, FieldKind, kind_of, own_of

CAR: Final = "car"
"""The column of clean listings that names the car of each by a number."""
_ROUND: Final = 1000.0
_MOST_NAMES_OF_AN_ID: Final = 3
_NEAR, _SAME, _APART = 0.02, 1e-9, 100.0
"""Shares by which odometers differ that are near, that are equal; and what parts kinds of cars."""
_TIMES: Final = 3.0
_FEWEST_NEAR, _SHARE_NEAR = 20, 0.1
_CATEGORY_OF: Final = {field: name for name, field in CATEGORIES.items()}

Digests = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Repeats:
    """How often cars are listed in clean listings.

    Attributes
    ----------
    rule : what ``ingest.repeats`` says is kept of a car.
    cars : number of different cars.
    repeated : number of cars of which more than one listing is kept.
    listings : number of listings that are kept of these.
    under_other_ids : number of listings that another equals in all but its ``id``, price, day and
        region: the ids may be those of listings, not of cars.
    """

    rule: str
    cars: int
    repeated: int
    listings: int
    under_other_ids: int

    def to_json(self) -> dict[str, Any]:
        """Return the counts as plain JSON values."""
        return asdict(self)


def car_digests(listings: pd.DataFrame, *, with_region: bool = False) -> Digests:
    """Return a hash of each of n listings that ignores its price, its day and its region."""
    fields = (*(field for field in FIELDS if field != "listed_on"), *own_of(listings.columns))
    if not with_region:
        listings = listings.assign(region=None)
    return _hashed({field: _plain(listings[field], field) for field in fields})


def are_duplicates(
    mapped: pd.DataFrame, cars: Digests, raw_digests: Digests
) -> npt.NDArray[np.bool_]:
    """Return which of n rows equal an earlier one in every mapped field.

    Rows without an odometer may be two cars of one kind and price: of these, only rows that are
    equal in every column of the source are duplicates.

    Parameters
    ----------
    mapped : the fields of a listing, its price, and its ``id`` where one is mapped.
    cars : the :func:`car_digests` of these.
    raw_digests : a hash of each row as the source has it.
    """
    others = [name for name in ("listed_on", CAR_ID) if name in mapped]
    columns = {"car": pd.Series(cars, mapped.index), "region": _plain(mapped["region"], "region")}
    columns |= {name: mapped[name] for name in (PRICE, *others)}
    alike = pd.Series(_hashed(columns)).duplicated().to_numpy()
    known = mapped["odometer"].notna().to_numpy()
    return np.asarray((alike & known) | pd.Series(raw_digests).duplicated().to_numpy())


def with_cars(listings: pd.DataFrame, repaired: Counter[str]) -> pd.DataFrame:
    """Return clean listings with the column :data:`CAR`, equal for the listings of one car.

    A car is known by its ``id`` where there is one, else by all fields but price, day and region.
    Two cars may share these: that they are kept together costs little, on either side of the split.
    An id that more than three kinds of cars have is a placeholder; it is not used, and ``repaired``
    counts its rows.
    """
    cars = car_digests(listings)
    if CAR_ID not in listings:
        return listings.assign(**{CAR: cars})
    ids = listings[CAR_ID]
    kinds = _hashed({name: _plain(listings[name], name) for name in ("make", "model", "year")})
    names = pd.Series(kinds, index=listings.index).groupby(ids, observed=True).transform("nunique")
    placeholders = names > _MOST_NAMES_OF_AN_ID
    if placeholders.any():
        repaired["id shared by cars of several kinds, not used"] += int(placeholders.sum())
    ids = ids.mask(placeholders)
    by_id = _hashed({CAR_ID: ids})
    return listings.assign(**{CAR_ID: ids, CAR: np.where(ids.notna(), by_id, cars)})


def latest_of_each(
    listings: pd.DataFrame, distance_unit: str, rejected: Counter[str]
) -> pd.DataFrame:
    """Keep one listing of a car at each price, and of a car that has dates the latest price.

    Two cars may be alike in all fields. Listings without ``id`` and odometer are all kept; those
    whose odometer is below 1,000 or whole thousands are kept at each of their prices.

    Parameters
    ----------
    listings : with :data:`CAR`.
    rejected : counts the others.
    """
    again = listings.loc[listings[CAR].duplicated(keep=False)]
    odometer = again["odometer"].to_numpy(dtype=np.float64)
    has_id = again.get(CAR_ID, pd.Series(None, index=again.index)).notna().to_numpy()
    is_known = has_id | np.isfinite(odometer)
    is_certain = has_id | _names_a_car(odometer, km_per_unit(distance_unit))
    by_day = again[[CAR, PRICE, "listed_on"]].sort_values(
        "listed_on", kind="stable", na_position="first"
    )
    same = by_day.duplicated([CAR, PRICE], keep="last").sort_index().to_numpy() & is_known
    dated = by_day.groupby(CAR)["listed_on"].transform("count") > 0
    earlier = (by_day.duplicated(CAR, keep="last") & dated).sort_index().to_numpy() & is_certain
    for reason, mask in (
        ("the same car at the same price", same),
        ("an earlier price of the same car", earlier & ~same),
    ):
        if rows := int(mask.sum()):
            rejected[reason] += rows
    return listings.drop(index=again.index[same | earlier]).reset_index(drop=True)


def told_as_near(listings: pd.DataFrame, distance_unit: str) -> tuple[str, ...]:
    """Tell that many listings are of cars listed before with a few kilometres less.

    Cars of one kind are as often a little as somewhat more apart in distance driven; cars that are
    listed again month by month are a little apart.

    Parameters
    ----------
    listings : clean listings with :data:`CAR`.
    """
    rows = first_of_each_car(listings)
    rows = rows.loc[rows["odometer"] >= _ROUND]
    kinds = pd.factorize(car_digests(rows.assign(odometer=np.nan)))[0]
    place = kinds * _APART + np.log(rows["odometer"].to_numpy(dtype=np.float64))
    order = np.argsort(place)
    place = place[order]

    def up_to(share: float) -> npt.NDArray[np.intp]:
        return np.asarray(np.searchsorted(place, place + share + _SAME, side="right"))

    near, far = up_to(_NEAR) - up_to(0), up_to(4 * _NEAR) - up_to(3 * _NEAR)
    again = int((near > 0).sum())
    if again < max(_FEWEST_NEAR, _SHARE_NEAR * len(rows)) or near.sum() < _TIMES * far.sum():
        return ()
    one = int(np.argmax(near > 0))
    first, second = (rows.iloc[order[n]] for n in (one, up_to(0)[one]))
    return (
        f"{again:,} listings are as another but for price, day, region and less than "
        f"{100 * _NEAR:g} % of the odometer, many more than chance makes, such as {first['make']} "
        f"{first['model']} {first['year']:.0f} with {first['odometer']:,.0f} and "
        f"{second['odometer']:,.0f} {distance_unit}: if these are cars listed again, write id: "
        "<the column that names a car> in ingest.columns, or take the earlier listings out of the "
        "file, for else the figures of the model are too good; if they are other cars, id: null",
    )


def count_repeats(listings: pd.DataFrame, rule: str) -> Repeats:
    """Count the cars of listings with :data:`CAR`."""
    sizes = np.bincount(pd.factorize(listings[CAR])[0])
    more = sizes[sizes > 1]
    others = 0
    if CAR_ID in listings:
        named = listings.loc[listings[CAR_ID].notna() & listings["odometer"].notna()]
        alike = pd.DataFrame({"fields": car_digests(named), CAR: named[CAR].to_numpy()})
        ids = alike.groupby("fields")[CAR].transform("nunique")
        others = int((ids > 1).sum())
    return Repeats(rule, len(sizes), len(more), int(more.sum()), others)


def first_of_each_car(listings: pd.DataFrame) -> pd.DataFrame:
    """Return the first listing of each car, of those whose price is believed if there is one."""
    if CAR not in listings:
        return listings
    trust = np.ones(len(listings))
    if PRICE_TRUST in listings:
        trust = listings[PRICE_TRUST].to_numpy(dtype=np.float64)
    return listings.iloc[first_believed(pd.factorize(listings[CAR])[0], trust)]


def cars_of(listings: pd.DataFrame) -> Codes | None:
    """Return the number of each listing's car, from 0; None where every listing is another car."""
    if CAR not in listings:
        return None
    codes, cars = pd.factorize(listings[CAR])
    return None if len(cars) == len(codes) else np.asarray(codes, dtype=np.intp)


def _names_a_car(odometer: npt.NDArray[np.float64], km: float) -> npt.NDArray[np.bool_]:
    """Return whether an odometer is hardly that of two cars: not small, nor rounded in any unit."""
    read = np.column_stack([odometer, odometer * km, odometer / km])
    is_round = np.abs(read - _ROUND * np.round(read / _ROUND)) < 1e-3 * km
    return np.asarray((odometer >= _ROUND) & ~is_round.any(axis=1))


def _plain(values: pd.Series, field: str) -> pd.Series:
    """Return the values of a field such that frames of any dtypes and spelling hash alike."""
    if kind_of(field) in NUMERIC:
        return values.astype(np.float64)
    if kind_of(field) is FieldKind.DATE:
        return values.astype("datetime64[s]")
    codes, texts = pd.factorize(values)
    different, places = coded([*(_spelled(str(text), field) for text in texts), ""])
    # The code of a missing one is -1, the place of the last.
    return pd.Series(categories(places[codes], different), values.index)


def _spelled(text: str, field: str) -> str:
    """Return one text for all spellings of a field's value, as the model reads them."""
    plain = name_of(_CATEGORY_OF.get(field, field), text)
    return parse_variant(plain).text if field == "variant" else plain


def _hashed(columns: dict[str, pd.Series]) -> Digests:
    digests = pd.util.hash_pandas_object(pd.DataFrame(columns), index=False)
    return np.asarray(digests, dtype=np.uint64)
