"""The hedonic ridge: ln(price) as a sum of what each attribute of a car is worth.

One sparse ridge regression (Rosen 1974 for the hedonic idea). Its columns come in blocks: a block
turns a text of the listing into terms and multiplies them by a function of age and distance. Each
block has a scale; a large one means little shrinkage, so that a rare trim backs off to its model, a
rare model to its make, and an unseen value, whose columns are all zero, to its parent.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from carprice.arrays import Floats
from carprice.listings.features import Features

NAMES: Final = ("make", "model")
POWERTRAIN: Final = "fuel and gearbox"
_OFTEN_UNKNOWN: Final = 0.05
_LEAST_FALL_A_YEAR: Final = 0.02
_LEAST_FALL_A_KNOT: Final = 0.005
_AGE_BASES: Final = ("a", "a2", "a2_half", "a3", "a_so")
_KM_BASES: Final = ("so", "so2", "lo", "a_so")

Terms = Sequence[tuple[str, float]]
Codes = npt.NDArray[np.intp]
Falling = Callable[[Floats, Floats, float], Floats]


@dataclass(frozen=True)
class Block:
    """Columns of one kind: terms of a text × a function of age and distance.

    Attributes
    ----------
    name : unique; names the block in the model folder.
    factor : the part of the price that a reader is told it belongs to.
    text : which text of the listing decides, see :func:`texts_of`.
    basis : which function of age and distance the terms are multiplied by, see :func:`bases_of`.
    scale : how little the block is shrunk.
    expand : text → terms and their values.
    fewest : terms that fewer distinct texts' rows hold are left out.
    idf : weigh terms by inverse document frequency, to unit length.
    """

    name: str
    factor: str
    text: str
    basis: str
    scale: float
    expand: Callable[[str], Terms]
    fewest: int = 1
    idf: bool = False


def itself(text: str) -> Terms:
    """Return the text as its own one term."""
    return ((text, 1.0),)


def words_in(text: str) -> Terms:
    """Return the distinct words of a text."""
    return tuple((word, 1.0) for word in sorted(set(text.split())))


def words_of_model(text: str) -> Terms:
    """Return the distinct words of a variant, each as a word of its model alone."""
    make, model, variant = text.split("|", 2)
    return tuple((f"{make}|{model}#{word}", 1.0) for word in sorted(set(variant.split())))


def items_in(text: str) -> Terms:
    """Return the names that a text joins by ``|``."""
    return tuple((name, 1.0) for name in text.split("|") if name)


def printed_terms(text: str) -> Terms:
    """Read terms with values printed by :func:`_print_terms`."""
    pairs = (pair.rpartition("=") for pair in text.split(";") if pair)
    return tuple((name, float(value)) for name, _, value in pairs)


def _print_terms(**terms: float) -> str:
    return ";".join(f"{name}={value:g}" for name, value in terms.items() if value)


def blocks_of(scales: Mapping[str, float]) -> tuple[Block, ...]:
    """Return all blocks, in the order in which a price is explained.

    Parameters
    ----------
    scales : one for each key of :class:`carprice.settings.HedonicScales`.
    """
    s = scales

    def block(name: str, factor: str, text: str, basis: str, scale: float, **more: Any) -> Block:
        return Block(name, factor, text, basis, scale, more.pop("expand", itself), **more)

    age, distance, variant = "age", "distance", "variant"
    powertrain, equipment = POWERTRAIN, "equipment"
    return (
        block("make", "make and model", "make", "one", s["make"]),
        block("model", "make and model", "model", "one", s["model"]),
        block("body", "make and model", "body", "one", s["category"]),
        block("trim", variant, "model_trim", "one", s["trim"]),
        block("variant", variant, "model_variant", "one", s["variant"]),
        block("word", variant, "words", "one", s["word"], expand=words_in, fewest=3, idf=True),
        block(
            "model_word",
            variant,
            "model_variant",
            "one",
            s["model_word"],
            expand=words_of_model,
            fewest=2,
        ),
        block("engine", powertrain, "engine", "one", s["trend"], expand=printed_terms),
        block("model_engine", powertrain, "model_engine", "one", s["powertrain"]),
        *(block(f"trend_{basis}", age, "", basis, s["trend"]) for basis in ("a", "a2", "a3")),
        block("age", age, "age", "one", s["category"]),
        block("make_a", age, "make", "a", s["make_age"]),
        block("make_a2", age, "make", "a2", s["make_age"]),
        block("model_a", age, "model", "a", s["model_age"]),
        block("model_a2", age, "model", "a2_half", s["model_age"]),
        block("model_year", age, "model_age", "one", s["model_year"]),
        block("listed", age, "", "listed", s["trend"]),
        *(
            block(f"trend_{basis}", distance, "", basis, s["trend"])
            for basis in ("so", "so2", "lo", "a_so")
        ),
        block("model_so", distance, "model", "so", s["model_distance"]),
        block("model_powertrain", powertrain, "model_powertrain", "one", s["powertrain"]),
        *(
            block(name, powertrain, name, "one", s["category"])
            for name in ("transmission", "fuel", "gear", "drive")
        ),
        *(
            block(f"kind_{basis}", powertrain, "kind", basis, s["kind"])
            for basis in ("one", "a", "so")
        ),
        block("owners", "owners", "owners", "one", s["trend"], expand=printed_terms),
        block("equipment", equipment, "equipment", "one", s["equipment"], expand=items_in),
        block("equipment_a", equipment, "equipment", "a", s["equipment"], expand=items_in),
        block("extent", equipment, "extent", "one", s["trend"], expand=printed_terms),
        block("extent_a", equipment, "extent_a", "a", s["trend"], expand=printed_terms),
        block("color", "colour", "color", "one", s["color"]),
        *(
            block(name, "everything else", name, "one", s["category"])
            for name in ("condition", "seller", "region", "fitness")
        ),
        block("fitness_a", "everything else", "fitness", "a", s["category"]),
    )


def texts_of(
    features: Features, numbers: Mapping[str, Floats], oldest: int
) -> dict[str, list[str]]:
    """Return the texts that blocks read, one value a row.

    Parameters
    ----------
    features : parsed listings.
    numbers : their numbers with unknown ones filled where they can be.
    oldest : age that all older cars are taken to have.
    """
    texts = features.texts
    age = [str(int(years)) for years in np.minimum(numbers["age"], oldest)]
    engine = _each_row(numbers, ("litres", "power_bhp", "cylinders"))
    return {
        **texts,
        "": [""] * len(features),
        "words": [text.split("|", 2)[2] for text in texts["model_variant"]],
        "age": age,
        "model_age": ["|".join(pair) for pair in zip(texts["model"], age, strict=True)],
        "kind": [
            "|".join(row)
            for row in zip(texts["fuel"], texts["transmission"], texts["body"], strict=True)
        ],
        "owners": _owners(numbers["ownership"]),
        "equipment": features.equipment,
        "extent": [_print_terms(many=n / 8, none=float(n == 0)) for n in numbers["feature_count"]],
        "extent_a": [_print_terms(many=n / 8) for n in numbers["feature_count"]],
        "fitness": [printed(f) for f in numbers["fitness_age"]],
        "model_engine": [
            f"{model}|{row}" for model, row in zip(texts["model"], engine, strict=True)
        ],
        "engine": _engine_terms(numbers),
    }


def printed(value: float) -> str:
    """Return a number as a term's text; empty for NaN."""
    return "" if math.isnan(value) else f"{value:g}"


def _each_row(numbers: Mapping[str, Floats], names: Sequence[str]) -> list[str]:
    columns = [[printed(value) for value in numbers[name].tolist()] for name in names]
    return ["|".join(row) for row in zip(*columns, strict=True)]


def _owners(ownership: Floats) -> list[str]:
    return [
        ""
        if math.isnan(n)
        else _print_terms(owners=min(n, 5.0), second=float(n > 1), third=float(n > 2))
        for n in ownership.tolist()
    ]


LOGGED: Final = {"litres": 1.5, "power_bhp": 100.0, "fuel_economy": 20.0, "road_tax": 150.0}
"""Numbers whose logarithm is a term of the engine, and the value at which it is 0."""


def _engine_terms(numbers: Mapping[str, Floats]) -> list[str]:
    columns = {
        name: np.round(np.log(np.maximum(numbers[name], usual / 20) / usual), 3).tolist()
        for name, usual in LOGGED.items()
    }
    columns["seats"] = (np.clip(numbers["seats"], 2, 9) / 5 - 1).tolist()
    names = tuple(columns)
    return [
        _print_terms(**{name: v for name, v in zip(names, row, strict=True) if not math.isnan(v)})
        for row in zip(*columns.values(), strict=True)
    ]


KM_KNOTS: Final = np.round(np.linspace(1_000**0.5, 400_000**0.5, 61) ** 2)
USUAL_KM: Final = 50_000.0


def km_of(numbers: Mapping[str, Floats], km_per_unit: float) -> Floats:
    """Return distances in km within what the model tells apart; 50,000 where unknown."""
    distance = numbers["odometer"] * km_per_unit
    return np.clip(np.where(np.isnan(distance), USUAL_KM, distance), KM_KNOTS[0], KM_KNOTS[-1])


def bases_of(numbers: Mapping[str, Floats], km_per_unit: float, oldest: int) -> dict[str, Floats]:
    """Return the functions of age and distance that blocks are multiplied by.

    With age in years and distance in km: a = age/5 - 1.4, so = √(km/50000) - 1, lo = ln km - 10.8.
    """
    a = np.minimum(numbers["age"], oldest) / 5 - 1.4
    km = km_of(numbers, km_per_unit)
    so = np.sqrt(km / 50_000) - 1
    return {
        "one": np.ones_like(a),
        "a": a,
        "a2": a**2,
        "a2_half": 0.7 * a**2,
        "a3": a**3,
        "so": so,
        "so2": so**2,
        "lo": np.log(km) - 10.8,
        "a_so": a * so,
        "listed": numbers["listed"],
    }


@dataclass(frozen=True)
class Column:
    """A fitted or growing block: its terms' positions, and their inverse document frequencies."""

    block: Block
    position: dict[str, int]
    idf: dict[str, float] = field(default_factory=dict)

    def row(self, text: str) -> list[tuple[str, float]]:
        """Return a text's known terms and their values."""
        found = [(term, value) for term, value in self.block.expand(text) if term in self.position]
        if not self.idf:
            return found
        weights = [self.idf[term] for term, _ in found]
        length = math.sqrt(sum(weight**2 for weight in weights)) or 1.0
        return [(term, weight / length) for (term, _), weight in zip(found, weights, strict=True)]

    @classmethod
    def learn(cls, block: Block, distinct: Sequence[str], rows: Codes) -> Self:
        """Give the terms of a block's distinct texts, each of so many rows, their positions."""
        held: Counter[str] = Counter()
        for text, count in zip(distinct, rows.tolist(), strict=True):
            for term, _ in block.expand(text):
                held[term] += count
        kept = sorted(term for term, count in held.items() if count >= block.fewest)
        idf = {}
        if block.idf:
            total = 1 + int(rows.sum())
            idf = {term: math.log(total / (1 + held[term])) + 1 for term in kept}
        return cls(block, {term: place for place, term in enumerate(kept)}, idf)


@dataclass(frozen=True)
class Hedonic:
    """A fitted hedonic ridge.

    Attributes
    ----------
    coefficients : block name → term → what it adds to ln(price), per unit of its basis.
    idf : block name → term → inverse document frequency, for blocks that weigh terms.
    by_age : correction of ln(price) for each age in years from 0 to the oldest that was learned.
    by_distance : correction of ln(price) at each of :data:`KM_KNOTS`.
    typical : factor → its mean over the training rows; a listing is explained against it.
    spread : factor → its variance among cars of one model, and that of models among cars of one
        make and of makes among all; what is open where it is unknown.
    usual : block or factor → model, make or "" for all → its mean, for what was never seen.
    """

    blocks: tuple[Block, ...]
    intercept: float
    coefficients: dict[str, dict[str, float]]
    idf: dict[str, dict[str, float]]
    by_age: Floats
    by_distance: Floats
    km_per_unit: float
    typical: dict[str, float]
    spread: dict[str, float]
    usual: dict[str, dict[str, float]]

    @property
    def oldest(self) -> int:
        """Age in years that all older cars are taken to have."""
        return len(self.by_age) - 1

    def predict(self, features: Features, numbers: Mapping[str, Floats]) -> Floats:
        """Return ln(price) of each row."""
        return total_of(self.intercept, self.contributions(features, numbers))

    def contributions(self, features: Features, numbers: Mapping[str, Floats]) -> dict[str, Floats]:
        """Return what each factor adds to ln(price), per row; with the intercept they sum to it."""
        texts = texts_of(features, numbers, self.oldest)
        bases = bases_of(numbers, self.km_per_unit, self.oldest)
        total: dict[str, Floats] = {}
        for block in self.blocks:
            worth = self._worth(block, texts[block.text])
            if worth is None:
                continue
            if block.name in ("make", "model"):
                worth = self._usual_where_unseen(block.name, worth, texts)
            total[block.factor] = total.get(block.factor, 0.0) + worth * bases[block.basis]
        if "variant" in total:
            total["variant"] = self._usual_where_unknown_variant(total["variant"], texts)
        for factor, correction in self.corrections(numbers).items():
            total[factor] = total[factor] + correction
        return total

    def corrections(self, numbers: Mapping[str, Floats]) -> dict[str, Floats]:
        """Return what makes the average car's price fall with age and distance, per row."""
        ages = np.minimum(numbers["age"], self.oldest).astype(np.intp)
        km = km_of(numbers, self.km_per_unit)
        return {"age": self.by_age[ages], "distance": np.interp(km, KM_KNOTS, self.by_distance)}

    def _usual_where_unseen(
        self, name: str, worth: Floats, texts: Mapping[str, Sequence[str]]
    ) -> Floats:
        """Let an unseen make be worth what makes are, an unseen model what its make's are."""
        known, usual = self.coefficients[name], self.usual.get(name, {})
        rows = [row for row, key in enumerate(texts[name]) if key not in known] if usual else []
        for row in rows:
            worth[row] = usual.get(texts["make"][row], usual[""])
        return worth

    def _usual_where_unknown_variant(
        self, worth: Floats, texts: Mapping[str, Sequence[str]]
    ) -> Floats:
        """Let a variant without any known word be worth what the model's variants are."""
        usual, words = self.usual.get("variant", {}), self.coefficients["word"]
        if not usual or not words:
            return worth
        for row, text in enumerate(texts["words"]):
            if not any(word in words for word in text.split()):
                keys = (texts["model"][row], texts["make"][row], "")
                worth[row] = next(usual[key] for key in keys if key in usual)
        return worth

    def _worth(self, block: Block, texts: Sequence[str]) -> Floats | None:
        coefficients = self.coefficients[block.name]
        if not coefficients:
            return None
        column = Column(block, coefficients, self.idf.get(block.name, {}))  # type: ignore[arg-type]
        worth = {
            text: sum(coefficients[term] * value for term, value in column.row(text))
            for text in set(texts)
        }
        return np.array([worth[text] for text in texts], dtype=np.float64)

    def with_falling_curves(
        self, features: Features, numbers: Mapping[str, Floats], falling: Falling
    ) -> "Hedonic":
        """Return the model with the average car's price falling with age and distance.

        ``falling`` is given a curve of ln(price), the rows behind each of its points and the least
        that it must fall from one to the next, and returns the curve's correction.
        """
        ages = np.minimum(numbers["age"], self.oldest).astype(np.intp)
        knots = np.searchsorted(KM_KNOTS, km_of(numbers, self.km_per_unit))
        rows_by_age = np.bincount(ages, minlength=self.oldest + 1).astype(np.float64)
        rows_by_knot = np.bincount(knots, minlength=len(KM_KNOTS)).astype(np.float64)
        years = np.arange(self.oldest + 1, dtype=np.float64)
        by_age = self._mean_curve(features, numbers, {"age": years}, _AGE_BASES)
        own = self.coefficients["age"]
        by_age += [own.get(str(int(age)), 0.0) for age in years]
        knots_in_unit = KM_KNOTS / self.km_per_unit
        by_km = self._mean_curve(features, numbers, {"odometer": knots_in_unit}, _KM_BASES)
        corrected = replace(
            self,
            by_age=falling(by_age, rows_by_age, _LEAST_FALL_A_YEAR),
            by_distance=falling(by_km, rows_by_knot, _LEAST_FALL_A_KNOT),
        )
        return corrected._with_what_is_typical(features, numbers)

    def _with_what_is_typical(self, features: Features, numbers: Mapping[str, Floats]) -> "Hedonic":
        contributions = self.contributions(features, numbers)
        typical = {factor: float(worth.mean()) for factor, worth in contributions.items()}
        names = self.names_worth(features)
        spread = {
            **_variance_within(features.texts["model"], contributions),
            **_variance_within(features.texts["make"], {"model": names["model"]}),
            **_variance_within([""] * len(features), {"make": names["make"]}),
        }
        usual = self._usual(features, names, contributions)
        return replace(self, typical=typical, spread=spread, usual=usual)

    def names_worth(self, features: Features) -> dict[str, Floats]:
        """Return what make alone and model alone add to ln(price), per row; 0 where unseen."""
        return {
            name: np.array([self.coefficients[name].get(key, 0.0) for key in features.texts[name]])
            for name in NAMES
        }

    def _usual(
        self,
        features: Features,
        own: Mapping[str, Floats],
        contributions: Mapping[str, Floats],
    ) -> dict[str, dict[str, float]]:
        make, model = features.texts["make"], features.texts["model"]
        everywhere = [""] * len(features)
        usual = {
            "make": _means((everywhere, own["make"])),
            "model": _means((everywhere, own["model"]), (make, own["model"])),
        }
        variants = features.texts["model_variant"]
        without = sum(text.endswith("|") for text in variants) / max(len(variants), 1)
        for factor in ("variant", POWERTRAIN):
            worth = contributions.get(factor)
            if worth is not None and not (factor == "variant" and without > _OFTEN_UNKNOWN):
                usual[factor] = _means((everywhere, worth), (make, worth), (model, worth))
        return usual

    def relative(
        self, features: Features, contributions: Mapping[str, Floats]
    ) -> dict[str, Floats]:
        """Return contributions less the typical ones, for telling a price.

        Fuel and gearbox are told against what the model usually has; what that is worth goes with
        make and model.
        """
        told = {name: worth - self.typical[name] for name, worth in contributions.items()}
        usual = self.usual.get(POWERTRAIN)
        if usual:
            keys = zip(features.texts["model"], features.texts["make"], strict=True)
            own = np.array([usual.get(m, usual.get(k, usual[""])) for m, k in keys])
            shift = own - self.typical[POWERTRAIN]
            told[POWERTRAIN] = told[POWERTRAIN] - shift
            told["make and model"] = told["make and model"] + shift
        return told

    def unknown_variance(self, features: Features, numbers: Mapping[str, Floats]) -> Floats:
        """Return the variance of ln(price) that each row's unknown attributes leave open.

        Parameters
        ----------
        features : parsed listings, before unknown numbers are filled.
        numbers : their numbers, filled.
        """

        def is_filled(name: str) -> npt.NDArray[np.bool_]:
            return np.isnan(features.numbers[name]) & ~np.isnan(numbers[name])

        def is_new(block: str) -> npt.NDArray[np.bool_]:
            known = "" in self.coefficients[block]
            missing = [not text and not known for text in features.texts[block]]
            return np.array(missing, dtype=np.bool_)

        has_variants = bool(self.coefficients["word"])
        no_variant = [text.endswith("|") for text in features.texts["model_variant"]]
        unseen = {
            name: np.array(
                [key not in self.coefficients[name] for key in features.texts[name]], dtype=np.bool_
            )
            for name in ("make", "model")
        }
        unknown = {
            **unseen,
            "variant": (np.array(no_variant, dtype=np.bool_) | unseen["model"]) & has_variants,
            "fuel and gearbox": is_new("fuel") | is_new("transmission"),
            "owners": is_filled("ownership"),
            "distance": is_filled("odometer"),
        }
        variance = np.zeros(len(features))
        for factor, rows in unknown.items():
            variance += rows * self.spread.get(factor, 0.0)
        return variance

    def _mean_curve(
        self,
        features: Features,
        numbers: Mapping[str, Floats],
        grid: Mapping[str, Floats],
        bases: Sequence[str],
    ) -> Floats:
        """Return the mean over rows of what some bases add, were all rows at each grid point."""
        texts = texts_of(features, numbers, self.oldest)
        (points,) = (len(values) for values in grid.values())
        average = {
            name: np.full(points, values[~np.isnan(values)].mean() if len(values) else np.nan)
            for name, values in numbers.items()
            if not np.isnan(values).all()
        }
        on_grid = bases_of(
            {"odometer": np.full(points, np.nan), **average, **grid}, self.km_per_unit, self.oldest
        )
        curve = np.zeros(points)
        for block in self.blocks:
            if block.basis in bases:
                worth = self._worth(block, texts[block.text])
                if worth is not None:
                    curve += worth.mean() * on_grid[block.basis]
        return curve

    def to_json(self) -> dict[str, Any]:
        """Return the coefficients as plain JSON values."""
        return {
            "intercept": self.intercept,
            "coefficients": self.coefficients,
            "idf": self.idf,
            "by_age": self.by_age.tolist(),
            "by_distance": self.by_distance.tolist(),
            "km_per_unit": self.km_per_unit,
            "typical": self.typical,
            "spread": self.spread,
            "usual": self.usual,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        unscaled: Mapping[str, float] = defaultdict(lambda: 1.0)
        return cls(
            blocks_of(unscaled),
            content["intercept"],
            content["coefficients"],
            content["idf"],
            np.array(content["by_age"]),
            np.array(content["by_distance"]),
            content["km_per_unit"],
            content["typical"],
            content["spread"],
            content["usual"],
        )


def total_of(start: float, worth: Mapping[str, Floats]) -> Floats:
    """Return a number plus the sum of all factors' contributions, per row."""
    return np.asarray(start + np.sum(list(worth.values()), axis=0), dtype=np.float64)


def _means(*pairs: tuple[Sequence[str], Floats | None]) -> dict[str, float]:
    means: dict[str, float] = {}
    for keys, worth in pairs:
        if worth is not None:
            names, codes = np.unique(np.array(keys), return_inverse=True)
            sums, rows = np.bincount(codes, weights=worth), np.bincount(codes)
            means.update(zip(names.tolist(), (sums / rows).tolist(), strict=True))
    return means


def _variance_within(keys: Sequence[str], worth: Mapping[str, Floats]) -> dict[str, float]:
    position: dict[str, int] = {}
    codes = np.array([position.setdefault(key, len(position)) for key in keys], dtype=np.intp)
    rows = np.bincount(codes)
    variances = {}
    for factor, values in worth.items():
        mean = np.bincount(codes, weights=values) / rows
        variances[factor] = float(np.mean((values - mean[codes]) ** 2))
    return variances
