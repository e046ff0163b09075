"""Models and runs in MLflow, and the way of a version to production and back."""
