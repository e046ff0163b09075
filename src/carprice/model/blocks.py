"""The blocks of the hedonic ridge: which attribute of a car adds to ln(price), and how.

A block turns one text of a listing into terms, each a column of the ridge, and multiplies them by a
function of age and distance. The smaller its scale, the more it is shrunk: a rare trim backs off to
its model, a rare model to its make, and an unseen value, whose columns are all zero, to its parent.
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
    scale : its key in :class:`carprice.settings.HedonicScales`.
    min_rows : a term in fewer training cars gets no column.
    idf : whether a text's terms are weighted by inverse document frequency, to unit length.
    """

    name: str
    factor: str
    text: str
    basis: str
    scale: str
    terms: Callable[[str], Terms] = whole
    min_rows: int = 1
    idf: bool = False


BLOCKS: Final = (
    Block("make", MAKE_AND_MODEL, "make", "one", "make"),
    Block("model", MAKE_AND_MODEL, "model", "one", "model"),
    Block("body", MAKE_AND_MODEL, "body", "one", "category"),
    Block("trim", VARIANT, "model_trim", "one", "trim"),
    Block("variant", VARIANT, "model_variant", "one", "variant"),
    Block("word", VARIANT, "words", "one", "word", words, min_rows=3, idf=True),
    Block("model_word", VARIANT, "model_variant", "one", "model_word", words_of_model, min_rows=2),
    Block("engine", POWERTRAIN, "engine", "one", "trend", numbers),
    Block("model_engine", POWERTRAIN, "model_engine", "one", "powertrain"),
    Block("trend_a", AGE, "", "a", "trend"),
    Block("trend_a2", AGE, "", "a2", "trend"),
    Block("trend_a3", AGE, "", "a3", "trend"),
    Block("age", AGE, "age", "one", "category"),
    Block("make_a", AGE, "make", "a", "make_age"),
    Block("make_a2", AGE, "make", "a2", "make_age"),
    Block("model_a", AGE, "model", "a", "model_age"),
    Block("model_a2", AGE, "model", "a2_half", "model_age"),
    Block("model_year", AGE, "model_age", "one", "model_year"),
    Block("listed", AGE, "", "listed", "trend"),
    Block("trend_so", DISTANCE, "", "so", "trend"),
    Block("trend_so2", DISTANCE, "", "so2", "trend"),
    Block("trend_lo", DISTANCE, "", "lo", "trend"),
    Block("trend_a_so", DISTANCE, "", "a_so", "trend"),
    Block("no_distance", DISTANCE, "no_distance", "one", "trend", numbers),
    Block("no_distance_a", DISTANCE, "no_distance", "a", "trend", numbers),
    Block("no_distance_a2", DISTANCE, "no_distance", "a2", "trend", numbers),
    Block("model_so", DISTANCE, "model", "so", "model_distance"),
    Block("model_powertrain", POWERTRAIN, "model_powertrain", "one", "powertrain"),
    Block("transmission", POWERTRAIN, "transmission", "one", "category"),
    Block("fuel", POWERTRAIN, "fuel", "one", "category"),
    Block("gear", POWERTRAIN, "gear", "one", "category"),
    Block("drive", POWERTRAIN, "drive", "one", "category"),
    Block("kind_one", POWERTRAIN, "kind", "one", "kind"),
    Block("kind_a", POWERTRAIN, "kind", "a", "kind"),
    Block("kind_so", POWERTRAIN, "kind", "so", "kind"),
    Block("owners", OWNERS, "owners", "one", "trend", numbers),
    Block("equipment", EQUIPMENT, "equipment", "one", "equipment", items),
    Block("equipment_a", EQUIPMENT, "equipment", "a", "equipment", items),
    Block("extent", EQUIPMENT, "extent", "one", "trend", numbers),
    Block("extent_a", EQUIPMENT, "extent_a", "a", "trend", numbers),
    Block("color", COLOUR, "color", "one", "color"),
    Block("condition", CONDITION, "condition", "one", "category"),
    Block("own", OWN, "own", "one", "category", numbers),
    Block("own_a", OWN, "own", "a", "kind", numbers),
    Block("seller", OTHERS, "seller", "one", "category"),
    Block("region", OTHERS, "region", "one", "category"),
    Block("fitness", OTHERS, "fitness", "one", "category"),
    Block("fitness_a", OTHERS, "fitness", "a", "category"),
)
"""All blocks of the ridge; the columns stand in this order."""
