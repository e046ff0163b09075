"""Used-car valuation: a pipeline that learns prices from listings, and a service that answers."""

from importlib.metadata import version

from carprice.threads import configure as _configure_threads

_configure_threads()

__version__ = version("carprice")
