"""What the JSON files of a model folder must hold; a folder may come from anywhere.

Each check tells whether a value that was read has the form that carprice writes.
"""

import datetime
import re
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any, Final

from carprice.model.correction import LARGEST_SHIFT, SCALE_LIMITS
from carprice.model.encoder import COUNTED, ONE_HOT, WORTHS_OF_BEFORE
from carprice.model.hedonic import KM_KNOTS
from carprice.model.intervals import AGE_BANDS, CONFIDENCES, MIDDLE
from carprice.model.listing_store import STORED_NUMBERS, TYPE_COLUMNS
from carprice.model.reference import BINNED, CATEGORIES, MISSING, NAMES, Residuals
from carprice.model.worth import WORTHS
from carprice.schema import (
    MOST_OWN,
    alias,
    is_asking_price,
    is_own,
    own_numbers,
    why_not_own,
)

_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
Check = Callable[[Any], bool]


class OddPartError(ValueError):
    """A part of a model that is not of the form that carprice writes; the message names it."""


def check_part(name: str, value: Any) -> None:
    """Refuse a part of a model that is not as it is written.

    Raises
    ------
    OddPartError
        It names the file and the key.
    """
    if not isinstance(value, dict):
        raise OddPartError(f"{name} holds no names")
    for key, check in _PARTS[name].items():
        required = not key.endswith("?")
        key = key.removesuffix("?")  # noqa: PLW2901
        if required and key not in value:
            raise OddPartError(f"{name} lacks {key}")
        if key in value and not check(value[key]):
            raise OddPartError(f"{name} has another {key} than carprice writes")
    if name == "correction.json" and not _together(value):
        raise OddPartError(f"{name} moves prices by more than carprice does")


def _number(value: Any) -> bool:
    return type(value) in (int, float) and -1e300 < value < 1e300  # NaN is not


def _number_or_none(value: Any) -> bool:
    return value is None or _number(value)


def _whole(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**53


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _list(of: Check, length: int | None = None) -> Check:
    def check(value: Any) -> bool:
        is_list = isinstance(value, list) and length in (None, len(value))
        return is_list and all(map(of, value))

    return check


def _table(of: Check, *keys: str) -> Check:
    """Return a check of values by any names, some of which must be there."""

    def check(value: Any) -> bool:
        is_table = isinstance(value, dict) and value.keys() >= {*keys}
        return is_table and all(map(of, value.values()))

    return check


def _ordered(value: Any) -> bool:
    return _list(_number, 2)(value) and value[0] <= value[1]


def _unless_none(of: Check) -> Check:
    return lambda value: value is None or of(value)


def _seen(value: Any) -> bool:
    limits = ("age", "odometer", "price")
    is_table = isinstance(value, dict) and value.keys() == {"rows", *limits}
    return is_table and _whole(value["rows"]) and all(map(_limits, map(value.get, limits)))


def _usual_car(value: Any) -> bool:
    names = ("numbers", "categories", "fitness_age")
    return (
        isinstance(value, dict)
        and value.keys() == {*names}
        and _table(_number)(value["numbers"])
        and _table(_text)(value["categories"])
        and _table(_number)(value["fitness_age"])
    )


def _prices(value: Any) -> bool:
    return _list(_number)(value) and all(one > 0 for one in value)


def _model_of_listings(value: Any) -> bool:
    is_list = isinstance(value, list) and len(value) == 3
    return is_list and _text(value[0]) and all(_whole(one) and one > 0 for one in value[1:])


def _positive_or_none(value: Any) -> bool:
    return value is None or (_number(value) and value >= 0)


def _own(value: Any) -> bool:
    if not isinstance(value, dict) or len(value) > MOST_OWN:
        return False
    if own := [*filter(is_asking_price, value)]:
        raise OddPartError(
            f"its own column {alias(own[0])} has the name that requests give an asking price; "
            "call it otherwise in ingest.extra, and train the model again"
        )
    names = {alias(field) for field in value}
    return len(names) == len(value) and all(
        is_own(field)
        and not why_not_own(field, of_before=True)
        and _list(_number, 4 if field in own_numbers(value) else 0)(scales)
        and all(width > 0 for width in scales[1::2])
        for field, scales in value.items()
    )


def _error(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and _whole(value[0])
        and _number(value[1])
        and value[1] >= 0
    )


def _residuals(value: Any) -> bool:
    if not _list(_number, len(Residuals._fields))(value):
        return False
    rows, _, *others = value
    return _whole(rows) and rows > 0 and all(one >= 0 for one in others)


def _residuals_of_all(value: Any) -> bool:
    """Whether there are figures of the whole market, and those of segments are as they are."""
    return _table(_table(_residuals), "")(value) and "" in value[""]


def _day(value: Any) -> bool:
    try:
        return bool(_DAY.fullmatch(value) and datetime.date.fromisoformat(value))
    except (TypeError, ValueError):
        return False


def _rising(value: Any) -> bool:
    return _list(_number)(value) and all(low < high for low, high in pairwise(value))


def _deal(value: Any) -> bool:
    names = ("widest", "oldest", "dearest")
    return (
        isinstance(value, dict)
        and value.keys() == {"cuts", *names}
        and all(_number(value[name]) and value[name] >= 0 for name in names)
        and value["widest"] > 1
        and _list(_number, 4)(value["cuts"])
        and all(low < high for low, high in pairwise((0, *value["cuts"], 100)))
    )


def _middle(value: Any) -> bool:
    return _list(_list(_number, len(MIDDLE)), len(AGE_BANDS))(value)


def _factor(value: Any) -> bool:
    least, most = SCALE_LIMITS
    return _number(value) and least <= value <= most


def _shifts(value: Any) -> bool:
    return _numbers(value) and all(abs(one) <= LARGEST_SHIFT for one in value.values())


def _later_cars(value: Any) -> bool:
    pairs = ("error", "mape", "bias", "coverage")
    return (
        isinstance(value, dict)
        and value.keys() == {"rows", *pairs}
        and _whole(value["rows"])
        and any(all(_list(_number, n)(value[name]) for name in pairs) for n in (2, 3))
    )


def _together(value: Mapping[str, Any]) -> bool:
    """Whether the shifts of all cars and of a make are within the bound together."""
    largest = max(map(abs, value["by_make"].values()), default=0.0)
    return bool(abs(value["shift"]) + largest <= LARGEST_SHIFT)


_limits = _unless_none(_ordered)
_numbers = _table(_number)
_side = _list(_list(_number, len(CONFIDENCES)), len(AGE_BANDS))
_PARTS: Final[Mapping[str, Mapping[str, Check]]] = {
    "model.json": {
        "market": lambda value: (
            isinstance(value, dict)
            and all(map(_text, map(value.get, ("currency", "data_digest", "valuation_date"))))
            and value.get("distance_unit") in ("km", "miles")
            and _table(lambda sign: sign in (".", ","))(value.get("decimals", {}))
        ),
        "trained_on": _table(_ordered),
        "usual_ranges?": _table(_ordered),
        "direct_share?": lambda value: _number(value) and 0 <= value < 1,
        "importance": _numbers,
        "metrics": _numbers,
        "libraries?": _table(_text),
        "deal?": _deal,
    },
    "hedonic.json": {
        "intercept": _number,
        "coefficients": _table(_numbers),
        "idf": _table(_numbers),
        "by_age": lambda value: _list(_number)(value) and len(value) > 0,
        "by_distance": _list(_number, len(KM_KNOTS)),
        "km_per_unit": lambda value: _number(value) and value > 0,
        "typical": _numbers,
        "spread": lambda value: _numbers(value) and all(one >= 0 for one in value.values()),
        "usual": _table(_table(_number, "")),
        "own?": _own,
        "scales?": lambda value: _numbers(value) and all(one > 0 for one in value.values()),
    },
    "defaults.json": {
        "numbers?": _list(_text),
        "by_group": _table(_list(_number_or_none)),
        "kinds": _table(_list(_text, 3), ""),
        "overall": _list(_number_or_none),
        "odometer_by_age": _list(_number_or_none, 26),
        "car?": _unless_none(_usual_car),
        "categories?": _table(_text),
    },
    "encoder.json": {
        "numbers": _list(_text),
        "levels": _table(_list(_text), *ONE_HOT),
        "equipment": _list(_text),
        "rows": _table(_table(_whole), *COUNTED),
        "worths?": _list(lambda name: name in (*WORTHS, *WORTHS_OF_BEFORE)),
        "falling?": _table(_ordered),
    },
    "ranges.json": {"low": _side, "high": _side, "middle?": _unless_none(_middle)},
    "support.json": {
        "seen": _table(_seen, ""),
        "low": _list(_number, len(CONFIDENCES)),
        "high": _list(_number, len(CONFIDENCES)),
    },
    "segments.json": {"errors": _table(_table(_error))},
    "reference.json": {
        "rows": lambda value: _whole(value) and value > 0,
        "first": _unless_none(_day),
        "last": _unless_none(_day),
        "shares": _table(_table(_whole), *CATEGORIES, *BINNED),
        "edges": _table(_rising, *BINNED, "fifths"),
        "missing": _table(_whole, *MISSING),
        "once": _table(_whole, *NAMES),
        "residuals": _residuals_of_all,
    },
    "listings.json": {
        "models": _list(_model_of_listings),
        "types": lambda value: (
            _table(_list(_text), *TYPE_COLUMNS)(value) and len(value) == len(TYPE_COLUMNS)
        ),
        "levels": _list(_number),
        "numbers": lambda value: (
            _table(_list(_positive_or_none))(value) and value.keys() <= {*STORED_NUMBERS}
        ),
        "categories": _table(_list(_text)),
    },
    "correction.json": {
        "since": _day,
        "until": _day,
        "rows": _whole,
        "shift": _number,
        "by_make": _shifts,
        "scale": _list(_factor, len(AGE_BANDS)),
        "held_out?": _later_cars,
        "undated?": lambda value: _number(value) and abs(value) <= LARGEST_SHIFT,
    },
    "held_out.json": {"price": _prices, "low": _prices, "high": _prices},
}
