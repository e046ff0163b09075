"""Experiments beside the pipeline: baselines, a comparison of algorithms, tuning of the model.

They use the package's own cleaning, features, metrics and model, on the same folds for all.
"""
