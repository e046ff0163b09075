"""Used-car valuation: a pipeline that learns prices from listings, and a service that answers.

In Python, :class:`PriceRegressor` is the whole of it: fit, predict, explain, save and load.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from carprice.threads import configure as _configure_threads

if TYPE_CHECKING:
    from carprice.errors import CarpriceError, CarpriceWarning, InputError
    from carprice.estimator.regressor import PriceRegressor
    from carprice.sample.market import generate as load_sample

__all__ = ["CarpriceError", "CarpriceWarning", "InputError", "PriceRegressor", "load_sample"]
__version__ = version("carprice")

_configure_threads()

# Imported when they are asked for: the service and the command line start without pandas.
_HOMES = {
    "CarpriceError": ("carprice.errors", "CarpriceError"),
    "CarpriceWarning": ("carprice.errors", "CarpriceWarning"),
    "InputError": ("carprice.errors", "InputError"),
    "PriceRegressor": ("carprice.estimator.regressor", "PriceRegressor"),
    "load_sample": ("carprice.sample.market", "generate"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
