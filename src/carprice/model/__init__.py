"""The model: hedonic ridge, trees and conformal ranges in one self-contained folder.

Loading and predicting need numpy and onnxruntime alone; scipy, scikit-learn and xgboost are
imported while fitting only. Nothing here imports mlflow, fastapi, boto3 or pandas.
"""

from carprice.model.price_model import PriceModel
from carprice.model.pricer import Prices
from carprice.schema import DEFAULT_CONFIDENCE

__all__ = ["DEFAULT_CONFIDENCE", "PriceModel", "Prices"]
