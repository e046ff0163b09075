"""carprice in Python: an estimator for DataFrames of listings."""
