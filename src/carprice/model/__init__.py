"""The model: group effects, a residual booster and conformal ranges in one self-contained folder.

Loading and predicting need numpy and onnxruntime alone; nothing here imports mlflow, fastapi,
boto3, pandas or scikit-learn, and xgboost only while fitting.
"""

from carprice.model.price_model import DEFAULT_CONFIDENCE, PriceModel, Prices

__all__ = ["DEFAULT_CONFIDENCE", "PriceModel", "Prices"]
