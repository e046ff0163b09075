"""Which columns of a shop's file the stock page sends on, and under which names."""

import re
from typing import Final

from api.parsing import ListingForm
from carprice.listings.own import FLAGS
from carprice.listings.problems import MISSING_MARKS
from carprice.schema import ASKING_PRICE, PRICE_ALIASES, REFERENCE_EQUIPMENT, alias

_NOT_USED: Final = "featureCount"


def fields_of(form: ListingForm) -> dict[str, str]:
    """Return the name in requests of each column, written without case, blanks, ``_`` and ``-``.

    Examples
    --------
    >>> found = fields_of(ListingForm())
    >>> [found.get(one) for one in ("fueltype", "listingprice", "askingprice", "stockno")]
    ['fuelType', 'askingPrice', 'askingPrice', None]
    """
    names = {one: alias(field) for one, field in form.field_by_name.items()}
    found = {_plain(one): name for one, name in names.items() if name != _NOT_USED}
    return dict.fromkeys(map(_plain, PRICE_ALIASES), alias(ASKING_PRICE)) | found


def equipment() -> dict[str, str]:
    """Return the equipment of each 0/1 column that may tell it, by its name as above.

    Examples
    --------
    >>> equipment()["sunroof/moonroof"]
    'Sunroof/Moonroof'
    """
    return {_plain(one): one for one in REFERENCE_EQUIPMENT}


def flags() -> dict[str, int | None]:
    """Return what the words of a 0/1 column mean, in lower case; None where it is not known.

    Examples
    --------
    >>> [flags()[one] for one in ("ja", "0", "n/a", "")]
    [1, 0, None, None]
    """
    words = {word: round(flag) for word, flag in FLAGS.items()}
    return words | {mark.lower(): None for mark in ("", *MISSING_MARKS)}


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]", "", name).lower()
