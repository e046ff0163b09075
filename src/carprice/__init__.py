"""Used-car valuation: a pipeline that learns prices from listings, and a service that answers."""

from importlib.metadata import version

__version__ = version("carprice")
