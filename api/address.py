"""Where the service listens."""

import os
from collections.abc import Mapping
from typing import Final

DEFAULT_PORT: Final = 8000


def port(environment: Mapping[str, str] = os.environ) -> int:
    """Return the port: ``PORT``, else the one that SageMaker gives, else the default.

    Raises
    ------
    InputError
        If it is no number of a port.

    Examples
    --------
    >>> port({}), port({"SAGEMAKER_BIND_TO_PORT": "8080"}), port({"PORT": "9000"})
    (8000, 8080, 9000)
    """
    from carprice.errors import InputError

    for name in ("PORT", "SAGEMAKER_BIND_TO_PORT"):
        if given := environment.get(name):
            if given.isascii() and given.isdigit() and len(given) < 6 and int(given) < 65536:
                return int(given)
            raise InputError(f"{name} must be a port's number from 0 to 65535 (found {given!r})")
    return DEFAULT_PORT
