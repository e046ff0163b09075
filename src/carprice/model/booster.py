"""The residual booster: XGBoost trees fitted on what the group effects leave, run by ONNX Runtime.

The trees learn ln(price) minus its anchor, a number near zero, so that single precision in the
evaluator costs less than 1e-6 of the price.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import onnxruntime

from carprice.features import Floats

Matrix = npt.NDArray[np.float32]


class Booster:
    """Gradient-boosted trees as an ONNX graph; one thread, so that equal rows give equal bits."""

    def __init__(self, graph: bytes) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self.graph = graph
        self._session = onnxruntime.InferenceSession(
            graph, options, providers=["CPUExecutionProvider"]
        )

    def predict(self, matrix: Matrix) -> Floats:
        """Return the trees' sum for each row of a float32 matrix (rows × columns)."""
        (output,) = self._session.run(None, {"features": matrix})
        return np.asarray(output, dtype=np.float64).ravel()

    @classmethod
    def fit(
        cls, matrix: Matrix, residual: Floats, parameters: Mapping[str, Any], seed: int
    ) -> tuple[Self, Floats]:
        """Fit the trees; return them with each column's share of the total gain."""
        from onnxmltools.convert import convert_xgboost
        from onnxmltools.convert.common.data_types import FloatTensorType
        from xgboost import XGBRegressor

        trees = XGBRegressor(
            **parameters,
            base_score=0.0,
            random_state=seed,
            tree_method="hist",
            importance_type="total_gain",
            n_jobs=-1,
        )
        trees.fit(matrix, residual)
        graph = convert_xgboost(
            trees,
            name="booster",
            initial_types=[("features", FloatTensorType([None, matrix.shape[1]]))],
            target_opset=15,
        )
        return cls(graph.SerializeToString()), np.asarray(
            trees.feature_importances_, dtype=np.float64
        )

    @classmethod
    def load(cls, path: Path) -> Self:
        """Load the graph from a file."""
        return cls(path.read_bytes())
