"""PriceModel: fit, predict, save, load. The one object behind the service and the pipeline."""

import importlib.metadata
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from carprice import features as feature_code
from carprice.features import NUMBERS, Columns, Features, Floats
from carprice.market import Market
from carprice.metrics import price_metrics
from carprice.model.booster import Booster, Matrix
from carprice.model.defaults import Defaults
from carprice.model.effects import GroupEffects
from carprice.model.folder import folder_digest, read_manifest, write_folder
from carprice.model.intervals import ConformalRanges
from carprice.schema import FEATURE_SEPARATOR

DEFAULT_CONFIDENCE: Final = 0.9
_EFFECTS_FILE: Final = "effects.json"
_DEFAULTS_FILE: Final = "defaults.json"
_RANGES_FILE: Final = "ranges.json"
_BOOSTER_FILE: Final = "booster.onnx"
_LIBRARIES: Final = ("numpy", "onnxruntime", "xgboost", "xgboost-cpu", "onnxmltools")
_RARE_EQUIPMENT: Final = 20

Progress = Callable[[str], None]


def _quiet(_: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Prices:
    """Prices and their ranges, in the market's currency; one entry a listing."""

    price: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class Encoder:
    """Features → the booster's matrix, by effects and vocabularies learned in training."""

    effects: GroupEffects
    defaults: Defaults
    numbers: tuple[str, ...]
    equipment: tuple[str, ...]

    @classmethod
    def fit(cls, features: Features, target: Floats, shrinkage: float) -> Self:
        """Learn effects, the numbers that this market has, and its common equipment."""
        counts: Counter[str] = Counter()
        for names, rows in Counter(features.equipment).items():
            counts.update(dict.fromkeys(filter(None, names.split(FEATURE_SEPARATOR)), rows))
        return cls(
            GroupEffects.fit(features, target, shrinkage),
            Defaults.fit(features),
            tuple(name for name in NUMBERS if not np.isnan(features.numbers[name]).all()),
            tuple(sorted(name for name, rows in counts.items() if rows >= _RARE_EQUIPMENT)),
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the matrix's columns."""
        empty = Features({name: [] for name in feature_code.TEXTS}, {}, [])
        return (*self.numbers, *self.effects.encode(empty), *self.equipment)

    def matrix(self, features: Features) -> Matrix:
        """Return the booster's input: one float32 row a listing."""
        numbers = self.defaults.fill(features)
        columns = [numbers[name] for name in self.numbers]
        columns.extend(self.effects.encode(features).values())
        return np.column_stack([*columns, self._flags(features.equipment)]).astype(np.float32)

    def _flags(self, equipment: Sequence[str]) -> Floats:
        position = {name: code for code, name in enumerate(self.equipment)}
        distinct = {names: row for row, names in enumerate(dict.fromkeys(equipment))}
        flags = np.zeros((len(distinct), len(position)))
        for names, row in distinct.items():
            for name in names.split(FEATURE_SEPARATOR):
                if name in position:
                    flags[row, position[name]] = 1.0
        return flags[[distinct[names] for names in equipment]]


@dataclass(frozen=True)
class PriceModel:
    """A fitted model: group effects, a residual booster and conformal ranges.

    Attributes
    ----------
    trained_on : smallest and largest value of each number in training.
    importance : each booster column's share of the total gain.
    metrics : cross-validated figures of the training rows.
    digest : names the folder the model was saved to or loaded from; empty before.
    """

    market: Market
    encoder: Encoder
    booster: Booster
    ranges: ConformalRanges
    trained_on: dict[str, tuple[float, float]]
    importance: dict[str, float]
    metrics: dict[str, float]
    digest: str = field(default="", compare=False)

    @classmethod
    def fit(
        cls,
        features: Features,
        log_price: Floats,
        market: Market,
        *,
        booster: Mapping[str, Any],
        folds: int = 5,
        shrinkage: float = 3.0,
        seed: int = 0,
        progress: Progress = _quiet,
    ) -> Self:
        """Fit on parsed listings.

        Parameters
        ----------
        features : parsed listings, n rows.
        log_price : their target, n values of ln(price in the market's currency).
        booster : XGBoost parameters.
        folds : number of cross-fitting folds; ranges come from rows that a fold did not see.
        progress : told the name of each step.
        """
        recipe = _Recipe(booster, folds, shrinkage, seed)
        held_out = np.empty_like(log_price)
        assignment = _assign_folds(len(log_price), folds, seed)
        for fold in range(folds):
            progress(f"fold {fold + 1} of {folds}")
            seen, unseen = np.flatnonzero(assignment != fold), np.flatnonzero(assignment == fold)
            fitted = recipe.fit(features.take(seen), log_price[seen])
            held_out[unseen] = fitted.predict(features.take(unseen))
        progress("all rows")
        final = recipe.fit(features, log_price)
        price = np.exp(log_price)
        ranges = ConformalRanges.fit(log_price - held_out, features.numbers["age"])
        return cls(
            market=market,
            encoder=final.encoder,
            booster=final.booster,
            ranges=ranges,
            trained_on={
                name: (float(np.nanmin(values)), float(np.nanmax(values)))
                for name in final.encoder.numbers
                for values in [features.numbers[name]]
            }
            | {"price": (float(price.min()), float(price.max()))},
            importance=dict(zip(final.encoder.columns, final.importance.tolist(), strict=True)),
            metrics=price_metrics(price, np.exp(held_out)),
        )

    def parse(self, columns: Columns) -> Features:
        """Return the features of listings given by column."""
        return feature_code.parse(columns, self.market.valuation_date, self.market.distance_unit)

    def predict(self, columns: Columns, confidence: float = DEFAULT_CONFIDENCE) -> Prices:
        """Price listings given by column (field name → one value a listing).

        Returns
        -------
        Prices
            Price and range, each of as many entries as there are listings.
        """
        return self.predict_features(self.parse(columns), confidence)

    def predict_features(
        self, features: Features, confidence: float = DEFAULT_CONFIDENCE
    ) -> Prices:
        """Price parsed listings."""
        price = np.exp(_predict(self.encoder, self.booster, features))
        low, high = self.ranges.offsets(features.numbers["age"], confidence)
        return Prices(price, price * np.exp(low), price * np.exp(high))

    def save(self, folder: Path) -> str:
        """Write the model folder, replacing an older one in one step; return its digest."""

        def write_files(target: Path) -> None:
            (target / _BOOSTER_FILE).write_bytes(self.booster.graph)
            _write_json(target / _EFFECTS_FILE, self.encoder.effects.to_json())
            _write_json(target / _DEFAULTS_FILE, self.encoder.defaults.to_json())
            _write_json(target / _RANGES_FILE, self.ranges.to_json())

        description = {
            "market": self.market.to_json(),
            "numbers": self.encoder.numbers,
            "equipment": self.encoder.equipment,
            "trained_on": self.trained_on,
            "importance": self.importance,
            "metrics": self.metrics,
            "libraries": _library_versions(),
        }
        return write_folder(folder, description, write_files)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Load a model folder, checked byte for byte.

        Raises
        ------
        InputError, CorruptModelError
            See :func:`carprice.model.folder.read_manifest`.
        """
        manifest = read_manifest(folder)
        encoder = Encoder(
            GroupEffects.from_json(_read_json(folder / _EFFECTS_FILE)),
            Defaults.from_json(_read_json(folder / _DEFAULTS_FILE)),
            tuple(manifest["numbers"]),
            tuple(manifest["equipment"]),
        )
        return cls(
            market=Market.from_json(manifest["market"]),
            encoder=encoder,
            booster=Booster.load(folder / _BOOSTER_FILE),
            ranges=ConformalRanges.from_json(_read_json(folder / _RANGES_FILE)),
            trained_on={name: (low, high) for name, (low, high) in manifest["trained_on"].items()},
            importance=manifest["importance"],
            metrics=manifest["metrics"],
            digest=folder_digest(folder),
        )


@dataclass(frozen=True)
class _Fitted:
    encoder: Encoder
    booster: Booster
    importance: Floats

    def predict(self, features: Features) -> Floats:
        return _predict(self.encoder, self.booster, features)


@dataclass(frozen=True)
class _Recipe:
    booster: Mapping[str, Any]
    folds: int
    shrinkage: float
    seed: int

    def fit(self, features: Features, target: Floats) -> _Fitted:
        """Fit the booster on effects of other rows only, then the effects on all rows."""
        encoder = Encoder.fit(features, target, self.shrinkage)
        matrix = np.empty((len(target), len(encoder.columns)), dtype=np.float32)
        anchor = np.empty_like(target)
        assignment = _assign_folds(len(target), self.folds, self.seed + 1)
        for fold in range(self.folds):
            seen, unseen = np.flatnonzero(assignment != fold), np.flatnonzero(assignment == fold)
            effects = GroupEffects.fit(features.take(seen), target[seen], self.shrinkage)
            held_out = features.take(unseen)
            cross_fitted = replace(encoder, effects=effects)
            matrix[unseen] = cross_fitted.matrix(held_out)
            anchor[unseen] = effects.predict(held_out)
        booster, importance = Booster.fit(matrix, target - anchor, self.booster, self.seed)
        return _Fitted(encoder, booster, importance)


def _predict(encoder: Encoder, booster: Booster, features: Features) -> Floats:
    return encoder.effects.predict(features) + booster.predict(encoder.matrix(features))


def _assign_folds(rows: int, folds: int, seed: int) -> npt.NDArray[np.intp]:
    return np.random.default_rng(seed).permutation(np.arange(rows, dtype=np.intp) % folds)


def _library_versions() -> dict[str, str]:
    versions = {}
    for name in _LIBRARIES:
        with suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, sort_keys=True), encoding="utf-8", newline="\n")


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
