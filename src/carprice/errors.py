"""The errors a person can act on. Everything else is a bug and keeps its stack trace."""

from collections.abc import Mapping
from typing import Any, Self


class CarpriceError(Exception):
    """Root of all expected errors. ``exit_code`` is what the command line exits with."""

    exit_code = 1


class InputError(CarpriceError):
    """Bad input or configuration: a file, column, key or value that the caller must change."""

    exit_code = 2


class LayoutError(InputError):
    """A file that is not laid out as the settings say; others read it.

    Attributes
    ----------
    remedies : keys of ``ingest`` in params.yaml that read it, the likeliest first.
    """

    def __init__(self, message: str, *remedies: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.remedies = remedies


class RefusedError(CarpriceError):
    """A well-formed request that was turned down, or that could not be carried out."""


class CorruptModelError(CarpriceError):
    """A model folder whose bytes are not the ones that were written."""


class CarpriceWarning(UserWarning):
    """What was left out, ignored or taken as missing, and how to mend it."""


class NoProductionModelError(CarpriceError):
    """The registry holds no version under the alias that was asked for."""

    @classmethod
    def of(cls, registry: str, name: str, alias: str = "production") -> Self:
        """Return the error of a registry, its address without a login, and a model's name."""
        if alias != "production":
            return cls(f"registry {registry} has no {alias} version of {name}")
        return cls(
            f"registry {registry} has no production version of {name}; "
            "run the pipeline, `carprice test-model` and `carprice promote`"
        )
