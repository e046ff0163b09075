"""Tests of a registered model version, on the downloaded files, before it goes to production."""
