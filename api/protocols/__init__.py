"""Protocols of other servers: MLflow and SageMaker, and Open Inference."""
