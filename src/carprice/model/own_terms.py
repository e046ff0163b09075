"""The terms that a market's own columns have in the ridge, see ``ingest.extra``."""

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from typing import Final

import numpy as np

from carprice.arrays import Floats
from carprice.listings.features import Features
from carprice.model.blocks import print_numbers
from carprice.model.hedonic import Hedonic
from carprice.model.triples import Triple, triples
from carprice.schema import own_numbers, own_texts

Scales = Mapping[str, Sequence[float]]
"""Own column → of a number the middle and the width of its values, then of their logarithms; of a
text none."""
_FARTHEST: Final = 4.0


def own_scales(features: Features) -> dict[str, list[float]]:
    """Return the own columns of n training rows with what their terms are measured by."""
    return {
        name: [*_middle(features.numbers[name]), *_middle(_logs(features.numbers[name]))]
        if name in features.numbers
        else []
        for name in features.own
    }


def term_of_text(name: str, text: str) -> str:
    """Return the ridge's term of a text of an own column, which is known to be missing too.

    Examples
    --------
    >>> term_of_text("flag:accident", "yes")
    'flag:accident=yes'
    """
    return f"{name}={text}"


def terms_of_number(name: str, scales: Sequence[float], number: float) -> dict[str, float]:
    """Return the ridge's terms of a number of an own column: the number, and its logarithm.

    Examples
    --------
    >>> terms_of_number("number:doors", [4, 2, 1.6, 0.5], 5)
    {'number:doors': 0.5, 'number:doors~ln': 0.38}
    """
    middle, width, middle_of_logs, width_of_logs = scales
    logged = math.copysign(math.log1p(abs(number)), number)
    both = (number - middle) / width, (logged - middle_of_logs) / width_of_logs
    plain, ln = (round(min(max(one, -_FARTHEST), _FARTHEST), 2) for one in both)
    return {name: plain, f"{name}~ln": ln}


def by_text(worth: Mapping[str, float], name: str) -> dict[str, float]:
    """Return what the texts of an own column add to ln(price), by text.

    Examples
    --------
    >>> by_text({"flag:accident=yes": -0.1, "flag:repaired=yes": 0.2}, "flag:accident")
    {'yes': -0.1}
    """
    start = term_of_text(name, "")
    return {term[len(start) :]: each for term, each in worth.items() if term.startswith(start)}


class OwnWorth:
    """Looks up what the own columns of a car add to ln(price), per unit of the bases 1, a and so.

    Attributes
    ----------
    numbers : the names of own numbers, and what returns that of a number.
    texts : in the order of :func:`carprice.schema.own_texts`: text → that of it.
    """

    def __init__(self, hedonic: Hedonic) -> None:
        worth, by_age = (hedonic.coefficients.get(name, {}) for name in ("own", "own_a"))
        texts = own_texts(hedonic.own)
        self.texts = [triples(by_text(worth, name), by_text(by_age, name), {}) for name in texts]
        # Cars share few numbers of doors: what they add is mostly in the cache.
        self.numbers = [
            (name, lru_cache(maxsize=1024)(partial(_worths_of, worth, by_age, name, scales)))
            for name, scales in ((name, hedonic.own[name]) for name in own_numbers(hedonic.own))
            if name in worth
        ]

    def of(self, numbers: Mapping[str, float], texts: Sequence[str]) -> tuple[float, float]:
        """Return what they add per unit of the bases 1 and a.

        Parameters
        ----------
        numbers : the car's numbers by name.
        texts : its own texts, in the order of :func:`carprice.schema.own_texts`.
        """
        worth = by_age = 0.0
        found = [
            known[text] for known, text in zip(self.texts, texts, strict=True) if text in known
        ]
        for name, worths_of in self.numbers:
            number = numbers[name]
            if not math.isnan(number):
                found.append(worths_of(number))
        for one, of_age, _ in found:
            worth, by_age = worth + one, by_age + of_age
        return worth, by_age


def _worths_of(
    worth: Mapping[str, float],
    by_age: Mapping[str, float],
    name: str,
    scales: Sequence[float],
    number: float,
) -> Triple:
    terms = terms_of_number(name, scales, number).items()
    one, of_age = (
        sum([own.get(term, 0.0) * value for term, value in terms]) for own in (worth, by_age)
    )
    return one, of_age, 0.0


def texts_of_own(features: Features) -> list[str]:
    """Return the terms of the own columns of n completed listings, each as one text."""
    scales = own_scales(features)
    columns = [
        [print_numbers(**{term_of_text(name, text): 1.0}) for text in features.texts[name]]
        for name in own_texts(scales)
    ]
    for name in own_numbers(scales):
        printed = lru_cache(maxsize=None)(partial(_printed, name, scales[name]))
        columns.append([printed(number) for number in features.numbers[name].tolist()])
    if not columns:
        return [""] * len(features)
    return [";".join(filter(None, row)) for row in zip(*columns, strict=True)]


def _printed(name: str, scales: Sequence[float], number: float) -> str:
    return "" if math.isnan(number) else print_numbers(**terms_of_number(name, scales, number))


def _middle(values: Floats) -> tuple[float, float]:
    """Return the median, and the width of the middle 90 % in units of a normal's deviation."""
    known = values[np.isfinite(values)]
    if not len(known):
        return 0.0, 1.0
    low, middle, high = np.quantile(known, [0.05, 0.5, 0.95])
    return float(middle), float((high - low) / 3.29 or known.std() or 1.0)


def _logs(values: Floats) -> Floats:
    return np.asarray(np.sign(values) * np.log1p(np.abs(values)))
