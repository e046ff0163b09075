"""The blocks of the hedonic ridge: which attribute of a car adds to ln(price), and how.

A block turns one text of a listing into terms, each a column of the ridge, and multiplies them by a
function of age and distance. The smaller its scale, the more it is shrunk: a rare trim backs off to
its model, a rare model to its make, and an unseen value, whose columns are all zero, to its parent.
The scales here are where :mod:`carprice.model.block_scales` starts to choose each market's own.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from carprice.listings.keys import DetailKey
from carprice.schema import EQUIPMENT_SEPARATOR

FACTORS: Final = (
    "make and model",
    "variant",
    "age",
    "distance",
    "fuel and gearbox",
    "owners",
    "equipment",
    "colour",
    "condition",
    "everything else",
)
"""The parts of a price, in the order of an explanation."""
MAKE_AND_MODEL, VARIANT, AGE, DISTANCE, POWERTRAIN, OWNERS, EQUIPMENT, COLOUR = FACTORS[:8]
CONDITION, OTHERS = FACTORS[8:]
OWN: Final = "own columns"
"""The part of the market's own columns, before the last one, where there are any."""


def factor_names(has_own: bool) -> tuple[str, ...]:
    """Return the parts of a price, in the order of an explanation, for a market.

    Examples
    --------
    >>> factor_names(False) == FACTORS, factor_names(True)[-2:]
    (True, ('own columns', 'everything else'))
    """
    return (*FACTORS[:-1], OWN, OTHERS) if has_own else FACTORS


Terms = Sequence[tuple[str, float]]
"""Terms of a text, and the value of each."""


def whole(text: str) -> Terms:
    """Return the text as its only term."""
    return ((text, 1.0),)


def whole_or_none(text: str) -> Terms:
    """Return the text as its only term; none if it is empty."""
    return whole(text) if text else ()


def words(text: str) -> Terms:
    """Return the distinct words of a text."""
    return tuple((word, 1.0) for word in sorted(set(text.split())))


def words_of_model(text: str) -> Terms:
    """Return the distinct words of a variant, each as a word of its model alone."""
    key = DetailKey.read(text)
    return tuple((f"{key.of_model}#{word}", 1.0) for word, _ in words(key.detail))


def items(text: str) -> Terms:
    """Return the names that a text joins by ``|``."""
    return tuple((name, 1.0) for name in text.split(EQUIPMENT_SEPARATOR) if name)


def numbers(text: str) -> Terms:
    """Return the terms and values of a text that :func:`print_numbers` wrote."""
    pairs = (pair.rpartition("=") for pair in text.split(";") if pair)
    return tuple((name, float(value)) for name, _, value in pairs)


def steps_back(text: str) -> Terms:
    """Return a term for each whole quarter of a year before the valuation date, up to a number.

    Their worths are the steps of a random walk: each quarter's prices are as those of the next one,
    but for a step that is shrunk to none.

    Examples
    --------
    >>> steps_back("2"), steps_back("0")
    ((('1', 1.0), ('2', 1.0)), ())
    """
    return tuple((str(quarter), 1.0) for quarter in range(1, int(text) + 1))


def print_numbers(**terms: float) -> str:
    """Write numbers by their names as one text, with six digits; those that are 0 are left out."""
    return ";".join(f"{name}={value:g}" for name, value in terms.items() if value)


@dataclass(frozen=True)
class Block:
    """Columns of one kind: the terms of a text × a function of age and distance.

    Attributes
    ----------
    factor : the part of the price that it counts to, one of :func:`factor_names`.
    text : name of the text that has the terms, see :func:`carprice.model.hedonic_fit.texts_of`.
    basis : the function of age and distance, see :func:`carprice.model.hedonic_fit.bases_of`.
    scale : what its columns are multiplied by at first; the smaller, the more they are shrunk.
    min_rows : a term in fewer training cars gets no column.
    idf : whether a text's terms are weighted by inverse document frequency, to unit length.
    """

    name: str
    factor: str
    text: str
    basis: str
    scale: float
    terms: Callable[[str], Terms] = whole
    min_rows: int = 1
    idf: bool = False


BLOCKS: Final = (
    Block("make", MAKE_AND_MODEL, "make", "one", 2.98),
    Block("model", MAKE_AND_MODEL, "model", "one", 2.5),
    Block("body", MAKE_AND_MODEL, "body", "one", 1.94),
    Block("trim", VARIANT, "model_trim", "one", 0.155),
    Block("trim_a", VARIANT, "model_trim", "a", 0.05),
    Block("variant", VARIANT, "model_variant", "one", 0.11),
    Block("word", VARIANT, "words", "one", 0.931, words, min_rows=3, idf=True),
    Block("word_a", VARIANT, "words", "a", 0.2, words, min_rows=3, idf=True),
    Block("word_so", VARIANT, "words", "so", 0.05, words, min_rows=3, idf=True),
    Block("model_word", VARIANT, "model_variant", "one", 0.193, words_of_model, min_rows=2),
    Block("engine", POWERTRAIN, "engine", "one", 1.35, numbers),
    Block("engine_a", POWERTRAIN, "engine", "a", 0.5, numbers),
    Block("engine_so", POWERTRAIN, "engine", "so", 0.5, numbers),
    Block("model_engine", POWERTRAIN, "model_engine", "one", 0.362),
    Block("model_spec", POWERTRAIN, "model_spec", "one", 0.2, whole_or_none, min_rows=2),
    Block("model_spec_a", POWERTRAIN, "model_spec", "a", 0.1, whole_or_none, min_rows=2),
    Block("model_spec_so", POWERTRAIN, "model_spec", "so", 0.1, whole_or_none, min_rows=2),
    Block("model_spec_year", POWERTRAIN, "model_spec_age", "one", 0.1, whole_or_none, min_rows=2),
    Block("model_tax", POWERTRAIN, "model_tax", "one", 0.1, whole_or_none, min_rows=2),
    Block("model_tax_a", POWERTRAIN, "model_tax", "a", 0.05, whole_or_none, min_rows=2),
    Block("trend_a", AGE, "", "a", 1.35),
    Block("trend_a2", AGE, "", "a2", 1.35),
    Block("trend_a3", AGE, "", "a3", 1.35),
    Block("age", AGE, "age", "one", 1.94),
    Block("make_a", AGE, "make", "a", 0.764),
    Block("make_a2", AGE, "make", "a2", 0.764),
    Block("model_a", AGE, "model", "a", 0.472),
    Block("model_a2", AGE, "model", "a2_half", 0.472),
    Block("model_a3", AGE, "model", "a3", 0.1),
    Block("model_year", AGE, "model_age", "one", 0.238),
    Block("quarter", AGE, "quarter", "one", 0.1, steps_back),
    Block("trend_so", DISTANCE, "", "so", 1.35),
    Block("trend_so2", DISTANCE, "", "so2", 1.35),
    Block("trend_lo", DISTANCE, "", "lo", 1.35),
    Block("trend_a_so", DISTANCE, "", "a_so", 1.35),
    Block("no_distance", DISTANCE, "no_distance", "one", 1.35, numbers),
    Block("no_distance_a", DISTANCE, "no_distance", "a", 1.35, numbers),
    Block("no_distance_a2", DISTANCE, "no_distance", "a2", 1.35, numbers),
    Block("model_so", DISTANCE, "model", "so", 0.264),
    Block("model_lo", DISTANCE, "model", "lo", 0.05),
    Block("make_so", DISTANCE, "make", "so", 0.2),
    Block("model_powertrain", POWERTRAIN, "model_powertrain", "one", 0.362),
    Block("model_powertrain_a", POWERTRAIN, "model_powertrain", "a", 0.1),
    Block("make_powertrain", POWERTRAIN, "make_powertrain", "one", 0.2),
    Block("make_powertrain_a", POWERTRAIN, "make_powertrain", "a", 0.2),
    Block("make_powertrain_so", POWERTRAIN, "make_powertrain", "so", 0.1),
    Block("transmission", POWERTRAIN, "transmission", "one", 1.94),
    Block("fuel", POWERTRAIN, "fuel", "one", 1.94),
    Block("gear", POWERTRAIN, "gear", "one", 1.94),
    Block("drive", POWERTRAIN, "drive", "one", 1.94),
    Block("kind_one", POWERTRAIN, "kind", "one", 0.664),
    Block("kind_a", POWERTRAIN, "kind", "a", 0.664),
    Block("kind_so", POWERTRAIN, "kind", "so", 0.664),
    Block("owners", OWNERS, "owners", "one", 1.35, numbers),
    Block("owners_a", OWNERS, "owners", "a", 0.5, numbers),
    Block("equipment", EQUIPMENT, "equipment", "one", 0.266, items),
    Block("equipment_a", EQUIPMENT, "equipment", "a", 0.266, items),
    Block("extent", EQUIPMENT, "extent", "one", 1.35, numbers),
    Block("extent_a", EQUIPMENT, "extent_a", "a", 1.35, numbers),
    Block("color", COLOUR, "color", "one", 0.05),
    Block("condition", CONDITION, "condition", "one", 1.94),
    Block("own", OWN, "own", "one", 1.94, numbers),
    Block("own_a", OWN, "own", "a", 0.664, numbers),
    Block("seller", OTHERS, "seller", "one", 1.94),
    Block("seller_a", OTHERS, "seller", "a", 0.5),
    Block("region", OTHERS, "region", "one", 1.94),
    Block("fitness", OTHERS, "fitness", "one", 1.94),
    Block("fitness_a", OTHERS, "fitness", "a", 1.94),
)
"""All blocks of the ridge; the columns stand in this order."""
