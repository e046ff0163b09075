"""Which cars a challenger answers for: a number for each car, the same everywhere and always.

A car is known by what every listing has to say: make, model, year and odometer. Whatever else a
request tells or leaves out, its asking price and its day, the car stays on its side. Two cars that
are alike in all four are one here. The challenger is no part of it: the next one answers for the
same cars, and a larger share for those of the smaller one and more.
"""

import hashlib
import json
import math
import unicodedata
from collections.abc import Mapping
from typing import Any, Final

_SALT: Final = b"carprice canary"
_TEXTS: Final = ("make", "model")
_NUMBERS: Final = ("year", "odometer")
_BITS: Final = 53
"""What a float holds exactly, so that no share is rounded to 1."""


def share_of(listing: Mapping[str, Any]) -> float:
    """Return the number of a listing's car, from 0 to less than 1, spread evenly over cars.

    A car is in a share of the cars where its number is less than the share.

    Parameters
    ----------
    listing : by the fields' names in snake_case; what is not there counts as not known.

    Examples
    --------
    >>> car = {"make": "Hyundai", "model": "Creta", "year": 2018, "odometer": 61000}
    >>> round(share_of(car), 6)
    0.451298
    >>> share_of(car) == share_of({**car, "make": " HYUNDAI", "year": 2018.0, "asking_price": 1e6})
    True
    """
    texts = [_text(listing.get(name)) for name in _TEXTS]
    numbers = [_number(listing.get(name)) for name in _NUMBERS]
    told = json.dumps([*texts, *numbers]).encode()
    digest = hashlib.blake2b(told, digest_size=8, person=_SALT).digest()
    return math.ldexp(int.from_bytes(digest) >> (64 - _BITS), -_BITS)


def _text(value: object) -> str:
    """Return a name without what spelling alone changes: case, width, spaces at ends and between.

    Examples
    --------
    >>> _text("  Land\u00a0 ROVER "), _text(None)
    ('land rover', '')
    """
    if not isinstance(value, str):
        return ""
    return " ".join(unicodedata.normalize("NFKC", value).casefold().split())


def _number(value: object) -> str:
    """Return the shortest digits that name a number; nothing where it is not known.

    Examples
    --------
    >>> _number(2018), _number(2018.0), _number(0.1), _number(-0.0), _number(float("nan"))
    ('2018.0', '2018.0', '0.1', '0.0', '')
    """
    if value is None:
        return ""
    number = float(value)  # type: ignore[arg-type]
    return repr(number + 0.0) if math.isfinite(number) else ""
