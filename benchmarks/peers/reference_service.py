"""A service as end-to-end MLOps examples write it: pyfunc at start, a data frame a request.

``MODEL_URI`` names the model in the registry at ``MLFLOW_TRACKING_URI``.
"""

import os
from typing import Any

import mlflow.pyfunc
import pandas as pd
from fastapi import FastAPI

from api.bodies import ListingRequest

model = mlflow.pyfunc.load_model(os.environ["MODEL_URI"])
app = FastAPI()


@app.post("/predict")
async def predict(listing: ListingRequest) -> dict[str, Any]:
    """Value one listing."""
    row = listing.model_dump(mode="json", by_alias=True, exclude_none=True)
    priced = model.predict(pd.DataFrame([row]))
    return {"predictedPrice": float(priced["predictedPrice"].iloc[0])}
