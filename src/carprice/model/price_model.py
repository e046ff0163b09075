"""PriceModel: fit, predict, save, load. The one object behind the service and the pipeline."""

import importlib.metadata
import json
from contextlib import suppress
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
import numpy.typing as npt

from carprice.arrays import Columns, Floats, Progress, quiet
from carprice.listings import features as feature_code
from carprice.listings.features import Features, listings_of
from carprice.listings.market import Market
from carprice.metrics import price_metrics
from carprice.model.booster import Booster, cross_fit, new_trees
from carprice.model.defaults import Defaults
from carprice.model.encoder import Encoder
from carprice.model.explanation import Explanation
from carprice.model.hedonic import Hedonic
from carprice.model.intervals import DEFAULT_CONFIDENCE, ConformalRanges
from carprice.model.pricer import Pricer, Prices
from carprice.model.vocabulary import Vocabulary
from carprice.model_folder import folder_digest, read_manifest, write_folder

if TYPE_CHECKING:
    from carprice.settings import TrainSettings

_JSON_FILES: Final = ("hedonic.json", "defaults.json", "encoder.json", "ranges.json")
_BOOSTER_FILE: Final = "booster.onnx"
_SCALE_FILE: Final = "scale.onnx"
_LIBRARIES: Final = ("numpy", "onnxruntime", "scipy", "xgboost", "xgboost-cpu", "onnxmltools")
_CALIBRATION_ROWS: Final = 100_000
_SMALLEST_RESIDUAL: Final = 0.01
_SCALE_TREES: Final = {
    "n_estimators": 150,
    "max_depth": 3,
    "learning_rate": 0.05,
    "min_child_weight": 30,
    "subsample": 0.8,
    "colsample_bytree": 0.6,
}


@dataclass(frozen=True)
class PriceModel:
    """A fitted model: hedonic ridge, residual booster and conformal ranges.

    Attributes
    ----------
    scale : trees for the logarithm of a residual's expected size.
    trained_on : smallest and largest value of each number in training.
    importance : each booster column's share of the total gain.
    metrics : cross-validated figures of the training rows.
    digest : names the folder the model was saved to or loaded from; empty before.
    """

    market: Market
    hedonic: Hedonic
    defaults: Defaults
    encoder: Encoder
    booster: Booster
    scale: Booster
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
        settings: "TrainSettings",
        progress: Progress = quiet,
    ) -> Self:
        """Fit on parsed listings.

        Parameters
        ----------
        features : parsed listings, n rows.
        log_price : their target, n values of ln(price in the market's currency).
        settings : the block scales of the ridge, XGBoost's parameters, folds and the seed.
        """
        from carprice.model.hedonic_fit import fit_hedonic

        progress("hedonic ridge")
        defaults = Defaults.fit(features)
        complete = defaults.complete(features)
        seed, patience, booster = settings.seed, settings.patience, settings.booster.model_dump()
        assignment = _assign_folds(len(log_price), settings.folds, seed)
        scales = settings.hedonic.model_dump()
        hedonic, anchor = fit_hedonic(complete, log_price, assignment, scales, market.km_per_unit)
        encoder = Encoder.fit(complete)
        matrix = encoder.training_matrix(complete, anchor)
        residual = log_price - anchor.log_price
        some = np.random.default_rng(seed).permutation(len(log_price))[:_CALIBRATION_ROWS]
        some.sort()
        parts = assignment[some]
        progress("number of trees")
        held_out = cross_fit(
            matrix[some], residual[some], parts, booster, patience, seed, encoder.directions
        )
        progress("trees")
        trees = new_trees(
            {**booster, "n_estimators": held_out.n_estimators}, seed, encoder.directions
        ).fit(matrix, residual)
        progress("ranges")
        missed = residual[some] - held_out.held_out
        size = np.log(np.abs(missed) + _SMALLEST_RESIDUAL)
        expected = cross_fit(matrix[some], size - size.mean(), parts, _SCALE_TREES, patience, seed)
        scale = new_trees({**_SCALE_TREES, "n_estimators": expected.n_estimators}, seed)
        scale.fit(matrix[some], size - size.mean())
        price, age = np.exp(log_price), features.numbers["age"][some]
        return cls(
            market=market,
            hedonic=hedonic,
            defaults=defaults,
            encoder=encoder,
            booster=Booster.of(trees, matrix.shape[1]),
            scale=Booster.of(scale, matrix.shape[1]),
            ranges=ConformalRanges.fit(missed, np.exp(expected.held_out), age),
            trained_on={
                name: (float(np.nanmin(values)), float(np.nanmax(values)))
                for name, values in features.numbers.items()
                if not np.isnan(values).all()
            }
            | {"price": (float(price.min()), float(price.max()))},
            importance=dict(zip(encoder.columns, trees.feature_importances_.tolist(), strict=True)),
            metrics=price_metrics(price[some], np.exp(log_price[some] - missed)),
        )

    def __getstate__(self) -> dict[str, Any]:
        """Pickle what was fitted; the look-ups made of it are made again."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The makes, models and variants that training had."""
        return Vocabulary.of(self.hedonic)

    @property
    def knows_variants(self) -> bool:
        """Whether training had variants; without any, one that is given says nothing."""
        return bool(self.hedonic.coefficients["word"])

    def parse(self, columns: Columns) -> Features:
        """Return the features of listings given by column."""
        if not self.knows_variants:
            columns = {field: values for field, values in columns.items() if field != "variant"}
        return feature_code.parse(columns, self.market.valuation_date, self.market.distance_unit)

    @cached_property
    def pricer(self) -> Pricer:
        """What prices, values and explains listings one by one or together."""
        return Pricer(self)

    def predict(self, columns: Columns, confidence: float = DEFAULT_CONFIDENCE) -> Prices:
        """Price listings given by column (field name → one value a listing).

        Returns
        -------
        Prices
            Price and range, each of as many entries as there are listings.

        Raises
        ------
        ValueError
            If the confidence is outside 0.5–0.99.
        """
        return self.pricer.prices(listings_of(columns), confidence)

    def predict_features(
        self, features: Features, confidence: float = DEFAULT_CONFIDENCE
    ) -> Prices:
        """Price parsed listings."""
        return self.pricer.prices(features, confidence)

    def explain(self, columns: Columns) -> list[Explanation]:
        """Explain listings given by column, see :meth:`carprice.model.pricer.Pricer.explain`."""
        return [*map(self.pricer.explain, listings_of(columns))]

    def save(self, folder: Path) -> str:
        """Write the model folder, replacing an older one in one step; return its digest."""
        parts = (
            self.hedonic.to_json(),
            self.defaults.to_json(),
            self.encoder.to_json(),
            self.ranges.to_json(),
        )

        def write_files(target: Path) -> None:
            (target / _BOOSTER_FILE).write_bytes(self.booster.graph)
            (target / _SCALE_FILE).write_bytes(self.scale.graph)
            for name, part in zip(_JSON_FILES, parts, strict=True):
                _write_json(target / name, part)

        description = {
            "market": self.market.to_json(),
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
            See :func:`carprice.model_folder.read_manifest`.
        """
        manifest = read_manifest(folder)
        hedonic, defaults, encoder, ranges = (_read_json(folder / name) for name in _JSON_FILES)
        return cls(
            market=Market.from_json(manifest["market"]),
            hedonic=Hedonic.from_json(hedonic),
            defaults=Defaults.from_json(defaults),
            encoder=Encoder.from_json(encoder),
            booster=Booster.load(folder / _BOOSTER_FILE),
            scale=Booster.load(folder / _SCALE_FILE),
            ranges=ConformalRanges.from_json(ranges),
            trained_on={name: (low, high) for name, (low, high) in manifest["trained_on"].items()},
            importance=manifest["importance"],
            metrics=manifest["metrics"],
            digest=folder_digest(folder),
        )


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
