"""The one spelling of a name: case, spaces, widths and hidden signs make no other name."""

import re
import unicodedata
from functools import lru_cache
from typing import Final

_HIDDEN: Final = dict.fromkeys(map(ord, "\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"))
_WHOLE: Final = re.compile(r"\d{2,}\.0")
_WIDE: Final = re.compile("[\uff01\uff03-\uff3b\uff3d-\uff5b\uff5d-\uffee]+")
"""Full-width and half-width signs, but those for " \\ and |, which part names in files."""
_LATIN: Final = "ABCEHIJKMOPSTXY aceijopsxy ABEZHIKMNOPTYX ov"
_ALIKE: Final = "АВСЕНІЈКМОРЅТХУ асеіјорѕху ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ ον"
"""Letters of Cyrillic and Greek that look like Latin ones, in the same order as those."""
_TO_LATIN: Final = str.maketrans(_ALIKE, _LATIN)
_TO_CYRILLIC: Final = str.maketrans(_LATIN[:26], _ALIKE[:26])
_WORD: Final = re.compile(r"[^\W\d_]+")


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
        text = unicodedata.normalize("NFC", in_usual_width(text.translate(_HIDDEN)))
    plain = " ".join(text.casefold().split())
    return plain[:-2] if _WHOLE.fullmatch(plain) else plain


def in_usual_width(text: str) -> str:
    """Return a text with its full-width and half-width signs in their usual width.

    Other signs, such as ² and ™, stay: without them a name says something else.

    Examples
    --------
    >>> in_usual_width("ＢＭＷ Ｘ５"), in_usual_width("ﾎﾝﾀﾞ"), in_usual_width("C²")
    ('BMW X5', 'ホンダ', 'C²')
    """
    return _WIDE.sub(lambda found: unicodedata.normalize("NFKC", found[0]), text)


def in_one_script(text: str) -> str:
    """Return a name with each word that mixes look-alike letters of two scripts in one of them.

    Examples
    --------
    >>> [in_one_script(name).isascii() for name in ("\u0412MW", "\u0422oyota Avensis")]
    [True, True]
    >>> in_one_script("Лада Vesta")
    'Лада Vesta'
    """
    return text if text.isascii() else _WORD.sub(lambda word: _in_one_script(word[0]), text)


def scripts_of(text: str) -> tuple[str, ...]:
    """Return which of the scripts Latin, Cyrillic and Greek a text has letters of."""
    found = {unicodedata.name(sign, "").partition(" ")[0] for sign in text}
    return tuple(name for name in ("Latin", "Cyrillic", "Greek") if name.upper() in found)


def _in_one_script(word: str) -> str:
    if len(scripts_of(word)) > 1:
        for table in (_TO_LATIN, _TO_CYRILLIC):
            if len(scripts_of(plain := word.translate(table))) == 1:
                return plain
    return word
