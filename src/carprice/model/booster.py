"""Gradient-boosted trees: fitted by XGBoost, run by ONNX Runtime.

The trees learn a number near zero, so that single precision in the evaluator costs less than 1e-6
of the price.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

# Else it keeps a device's identity in a file and tells its makers of every model that is loaded.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime

from carprice.arrays import Each, Floats, in_turn
from carprice.model.encoder import Matrix
from carprice.model.tree_graph import OddGraphError, check_trees, joined

if TYPE_CHECKING:
    from xgboost import XGBRegressor
    from xgboost.callback import EarlyStopping

_MANY_ROWS = 1000
Codes = npt.NDArray[np.intp]


class Booster:
    """Trees as an ONNX graph; one thread, so that equal rows give equal bits."""

    def __init__(self, graph: bytes) -> None:
        self.graph, self._session = graph, _taken(graph)

    def predict(self, matrix: Matrix) -> Floats:
        """Return the trees' sum for each row of a float32 matrix (rows × columns)."""
        (output,) = _run(self._session, matrix)
        return output

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.graph,)

    @classmethod
    def read(cls, graph: bytes, columns: int) -> Self:
        """Return the trees of a graph that may come from anywhere.

        Raises
        ------
        OddGraphError
            If it is anything but trees over so many columns.
        """
        check_trees(graph, columns)
        return cls(graph)

    @classmethod
    def of(cls, trees: "XGBRegressor", columns: int) -> Self:
        """Convert fitted trees."""
        return cls.sum_of([Part(trees, 1.0, range(columns))], columns)

    @classmethod
    def sum_of(cls, parts: "Sequence[Part]", columns: int) -> Self:
        """Convert ensembles into one, whose sum is the sum of theirs times their factors."""
        graph, *others = [_graph(part, columns) for part in parts]
        (node,) = graph.graph.node
        for other in others:
            (theirs,) = other.graph.node
            trees = 1 + max(_attributes(node)["nodes_treeids"].ints)
            for name, more in _attributes(theirs).items():
                own = _attributes(node)[name]
                if name in ("nodes_treeids", "target_treeids"):
                    own.ints.extend([trees + tree for tree in more.ints])
                elif name.startswith(("nodes_", "target_")):
                    own.ints.extend(more.ints)
                    own.floats.extend(more.floats)
                    own.strings.extend(more.strings)
        return cls(graph.SerializeToString())


class Joined:
    """Several ensembles as one graph: to start each of them costs more than its trees do.

    Raises
    ------
    OddGraphError
        If ONNX Runtime takes each of them, but not all as one.
    """

    def __init__(self, *boosters: Booster) -> None:
        self._session = _taken(joined([booster.graph for booster in boosters]))

    def predict(self, matrix: Matrix) -> list[Floats]:
        """Return the sums of each ensemble, as :meth:`Booster.predict` does."""
        return _run(self._session, matrix)

    def bound_to(self, row: Matrix) -> Callable[[], list[float]]:
        """Return what gives the sum of each ensemble for what a row (1 × columns) holds then.

        It reads the row where it stands. Row and sums are the same memory in every call: not for
        two threads at a time.
        """
        outputs = self._session.get_outputs()
        sums = np.zeros(len(outputs), dtype=np.float32)
        run, binding = self._session.run_with_iobinding, self._session.io_binding()
        binding.bind_input("features", "cpu", 0, np.float32, row.shape, row.ctypes.data)
        for output, total in zip(outputs, np.split(sums, len(sums)), strict=True):
            binding.bind_output(output.name, "cpu", 0, np.float32, (1, 1), total.ctypes.data)

        def predict(_read_by_the_trees: Matrix = row) -> list[float]:  # kept with the function
            run(binding)
            return sums.tolist()

        return predict


def _run(session: onnxruntime.InferenceSession, matrix: Matrix) -> list[Floats]:
    """Return the sums for each row of a matrix, one array an ensemble."""
    options = None
    if len(matrix) > _MANY_ROWS:  # the memory that they take is not kept for others
        options = onnxruntime.RunOptions()
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    outputs = session.run(None, {"features": matrix}, options)
    return [np.asarray(output, dtype=np.float64).ravel() for output in outputs]


def _taken(graph: bytes) -> onnxruntime.InferenceSession:
    """Return a graph as ONNX Runtime runs it, or raise an OddGraphError."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise OddGraphError(f"ONNX Runtime does not take its trees: {reason}") from None


@dataclass(frozen=True)
class Part:
    """Fitted trees, what their sum is multiplied by, and where their columns stand in a row."""

    trees: "XGBRegressor"
    factor: float
    places: Sequence[int]


def _attributes(node: Any) -> dict[str, Any]:
    """Return the attributes of a node of an ONNX graph by name."""
    return {attribute.name: attribute for attribute in node.attribute}


def _graph(part: Part, columns: int) -> Any:
    """Return an ensemble as an ONNX graph over rows of so many columns."""
    from onnxmltools.convert import convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType

    graph = convert_xgboost(
        part.trees,
        name="booster",
        initial_types=[("features", FloatTensorType([None, columns]))],
        target_opset=15,
    )
    (node,) = graph.graph.node
    attributes = _attributes(node)
    read, added = attributes["nodes_featureids"].ints, attributes["target_weights"].floats
    read[:] = [part.places[column] for column in read]
    added[:] = [part.factor * weight for weight in added]
    return graph


def new_trees(
    parameters: Mapping[str, Any], seed: int, directions: Sequence[int] | None = None
) -> "XGBRegressor":
    """Return unfitted trees; ``directions`` are XGBoost's monotone constraints."""
    from xgboost import XGBRegressor

    constraints = {} if directions is None else {"monotone_constraints": tuple(directions)}
    return XGBRegressor(
        **parameters,
        **constraints,
        base_score=0.0,
        random_state=seed,
        tree_method="hist",
        importance_type="total_gain",
        n_jobs=-1,
    )


@dataclass(frozen=True)
class CrossFit:
    """What cross-fitting found: each row's prediction by other rows' trees, and how many trees."""

    held_out: Floats
    n_estimators: int


def cross_fit(
    matrix: Matrix,
    target: Floats,
    folds: Codes,
    parameters: Mapping[str, Any],
    patience: int,
    seed: int,
    directions: Sequence[int] | None = None,
    weights: Floats | None = None,
    each: Each | None = None,
) -> CrossFit:
    """Fit trees without each fold, and choose their number by the mean error of all folds.

    Parameters
    ----------
    folds : the fold of each row, from 0.
    parameters : of XGBoost; ``n_estimators`` is the largest number of trees.
    patience : a fold stops when so many more trees do not lower its error.
    weights : how much each row counts; all the same if None.
    each : a cluster's, for a fit on each worker; None to fit one after another here.
    """
    weights = np.ones(len(target)) if weights is None else weights
    given = (matrix, target, weights, folds, parameters, patience, seed, directions)
    found = (each or in_turn)(_fit_without, range(int(folds.max()) + 1), *given)
    fitted, curves = zip(*found, strict=True)
    longest = max(map(len, curves))  # a curve that ended before goes on as it ended
    padded = [np.pad(curve, (0, longest - len(curve)), mode="edge") for curve in curves]
    best = 1 + int(np.argmin(np.mean(padded, axis=0)))
    held_out = np.empty_like(target)
    for fold, trees in enumerate(fitted):
        own = min(best, len(curves[fold]))
        held_out[folds == fold] = trees.predict(matrix[folds == fold], iteration_range=(0, own))
    return CrossFit(held_out, best)


def _fit_without(
    fold: int,
    matrix: Matrix,
    target: Floats,
    weights: Floats,
    folds: Codes,
    parameters: Mapping[str, Any],
    patience: int,
    seed: int,
    directions: Sequence[int] | None,
) -> tuple["XGBRegressor", Floats]:
    """Return trees without a fold, and their mean squared error on it by the number of trees."""
    from xgboost.callback import EarlyStopping

    seen, unseen = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
    trees, stop = new_trees(parameters, seed, directions), EarlyStopping(rounds=patience)
    return trees, _fit_until(trees, matrix, target, weights, seen, unseen, stop)


def fit_all(
    parameters: Mapping[str, Any],
    matrix: Matrix,
    target: Floats,
    weights: Floats,
    seed: int,
    directions: Sequence[int] | None = None,
) -> "XGBRegressor":
    """Fit trees to all rows."""
    return new_trees(parameters, seed, directions).fit(matrix, target, sample_weight=weights)


def fit_beside(
    learned: Codes,
    matrix: Matrix,
    target: Floats,
    weights: Floats,
    others: Codes,
    parameters: Mapping[str, Any],
    patience: int,
    seed: int,
    directions: Sequence[int] | None = None,
) -> tuple["XGBRegressor", Floats]:
    """Fit trees to some rows, as many as tell other rows best; see :func:`cross_fit`.

    Returns
    -------
    tuple
        The trees, and what they predict of the other rows.
    """
    from xgboost.callback import EarlyStopping

    trees, stop = (
        new_trees(parameters, seed, directions),
        EarlyStopping(rounds=patience, save_best=True),
    )
    _fit_until(trees, matrix, target, weights, learned, others, stop)
    return trees, np.asarray(trees.predict(matrix[others]), dtype=np.float64)


def _fit_until(
    trees: "XGBRegressor",
    matrix: Matrix,
    target: Floats,
    weights: Floats,
    learned: Codes,
    others: Codes,
    stop: "EarlyStopping",
) -> Floats:
    """Fit trees to some rows until they tell other rows no better.

    Each tree reads the other rows. XGBRegressor would keep them by bins, out of which to read a
    number takes several times as long as the number itself; the trees are the same.

    Returns
    -------
    Floats
        Mean squared error on the other rows, by the number of trees.
    """
    from xgboost import DMatrix, QuantileDMatrix, train

    told: dict[str, dict[str, list[float]]] = {}
    seen, unseen = (
        kind(matrix[rows], target[rows], weight=weights[rows], nthread=trees.n_jobs)
        for kind, rows in ((QuantileDMatrix, learned), (DMatrix, others))
    )
    booster = train(
        trees.get_xgb_params(),
        seen,
        trees.get_num_boosting_rounds(),
        evals=[(unseen, "others")],
        evals_result=told,
        verbose_eval=False,
        callbacks=[stop],
    )
    trees.load_model(booster.save_raw())
    return np.array(told["others"]["rmse"]) ** 2
