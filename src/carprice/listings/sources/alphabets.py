"""Tell how well a text in Latin letters makes words of one language.

Of one file's bytes many encodings make letters, but few make words: ``ještě`` is Czech, ``je¹tì``
is of no language. A wrong encoding gives some words letters of another language, signs inside, or
capitals in their midst.
"""

import functools
import itertools
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

ENCODINGS: Final = (
    *("cp1252", "cp1250", "cp1254", "cp1257", "iso8859_2", "iso8859_15"),
    *("cp850", "cp852", "mac_roman"),
)
"""What writes these languages; of two that read the same the first is named."""
_LANGUAGES: Final = tuple(
    map(
        frozenset,
        (
            "äöüß", "àâæçèéêëîïôœùûüÿ", "áéíñóúü", "àáâãçéêíóôõúü", "àèéìíîòóùú", "àçèéíïòóúü",
            "àäåæéöøü", "äåöõüšž", "áàèéêëïíóöúü", "áæéíðóöþúý", "ąćęłńóśźż",
            "áäčďéěíĺľňóôŕřšťúůýž", "áéíóöőúüű", "ăâîșțşţ", "čćđšž", "çğıi̇öşüâîû", "ąčęėįšųūž",
            "āčēģīķļņōŗšūž",
        ),
    )
)  # fmt: skip
"""The letters beyond ASCII of German, French, Spanish, Portuguese, Italian, Catalan, the Nordic
languages, Finnish and Estonian, Dutch, Icelandic, Polish, Czech and Slovak, Hungarian, Romanian,
Croatian, Turkish, Lithuanian and Latvian."""
_OF_MAKES: Final = frozenset("éëš")
"""Citroën and Škoda stand in files of all languages."""
_WORD: Final = re.compile(r"[A-Za-z\x80-\U0010ffff]+")
_BEFORE, _INSIDE = "“”„‘’‚«»‹›…–—•·¿¡€£©®°±×§", "’´·‑–—-\xad"
_BEHIND: Final = "“”‘’´«»‹›…–—•·°²³¹½¼¾€£¥™®©ªº"
"""Signs that may stand before a word, in it and behind it."""
_LONGEST_ALL_ACCENTS: Final = 2
_LAST_LATIN: Final = "\u024f"


@dataclass(frozen=True)
class Fit:
    """How well texts make words.

    Attributes
    ----------
    words : number of different words with letters or signs beyond ASCII.
    share : of these, the share that one language has the letters of.
    impossible : number of those that no language writes: with signs, capitals or letters of
        another script in their midst.
    """

    words: int
    share: float
    impossible: int


def fit(texts: Iterable[str]) -> Fit:
    """Return how well texts make words of the language that fits them best.

    Examples
    --------
    >>> fit(["ještě", "řidič"]), fit(["je¹tì", "øidiè"])
    (Fit(words=2, share=1.0, impossible=0), Fit(words=2, share=0.0, impossible=1))
    """
    words = {word for text in texts for part in text.split() for word in _words(part)}
    if not words:
        return Fit(0, 1.0, 0)
    if 2 * sum(map(_has_plain_letters, words)) < len(words):
        return Fit(len(words), 0.0, len(words))  # another script
    letters = [found for word in words if (found := _letters(word)) is not None]
    possible = [sum(found <= language for found in letters) for language in _LANGUAGES]
    return Fit(len(words), max(possible) / len(words), len(words) - len(letters))


def _words(text: str) -> list[str]:
    """Return the words that are not all ASCII, without the signs that may stand around a word."""
    found = (_without_signs(word) for word in _WORD.findall(text))
    return [word for word in found if not word.isascii()]


def _without_signs(word: str) -> str:
    core = word.rstrip(_BEHIND).lstrip(_BEFORE)
    start = word.index(core)
    # ©koda is no word with a sign before it, °C and “ABS” are.
    if start and core.islower() and unicodedata.category(word[start - 1])[0] == "S":
        start -= 1
    return word[start : start + len(word[start:].rstrip(_BEHIND))]


def _has_plain_letters(word: str) -> bool:
    return any(map(str.isascii, word))


@functools.lru_cache(maxsize=20_000)
def _letters(word: str) -> frozenset[str] | None:
    """Return the letters of a word that ASCII and makes lack; None if no language writes it so."""
    signs = {one for one in word if not one.isalpha() and not unicodedata.combining(one)}
    if signs - {*_INSIDE}:
        return None
    for one, other in itertools.pairwise(word):
        if one.islower() and other.isupper() and not (one + other).isascii():
            return None
    if max(word) > _LAST_LATIN and any(one > _LAST_LATIN and one.isalpha() for one in word):
        return None
    if len(word) > _LONGEST_ALL_ACCENTS and not _has_plain_letters(word):
        return None
    return frozenset(one for one in word.lower() if one.isalpha() and not one.isascii()) - _OF_MAKES
