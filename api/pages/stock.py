"""Which columns of a shop's file the stock page sends on, and under which names."""

import re
from typing import Final

from api.parsing import ListingForm
from carprice.schema import ASKING_PRICE, PRICE_ALIASES, alias

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


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]", "", name).lower()
