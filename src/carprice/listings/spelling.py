"""The one spelling of a name: upper and lower case, spaces and hidden signs make no other name."""

import re
import unicodedata
from functools import lru_cache
from typing import Final

_HIDDEN: Final = dict.fromkeys(map(ord, "\u00ad\u200b\u200e\u200f\u2060\ufeff"))
_WHOLE: Final = re.compile(r"\d{2,}\.0")


@lru_cache(maxsize=20_000)
def normalise(text: str) -> str:
    """Return a category in lower case, with single spaces, composed letters and no hidden signs.

    A whole number of two digits or more has no decimals: tools write 208.0 for the model 208.

    Examples
    --------
    >>> normalise("  Wagon  R "), normalise("208.0"), normalise("S\u030ckoda\u200b")
    ('wagon r', '208', 'škoda')
    """
    if not text.isascii():
        text = unicodedata.normalize("NFC", text.translate(_HIDDEN))
    plain = " ".join(text.casefold().split())
    return plain[:-2] if _WHOLE.fullmatch(plain) else plain
