"""What a container is told: the port to listen on, and secrets in files.

Secrets come in files because ``docker inspect`` shows environment variables.
"""

import os
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Final

from carprice.errors import InputError
from carprice.redaction import LOGIN_VARIABLES, PROMOTION_KEY, TOKEN_VARIABLES, WEBHOOK_SECRET

DEFAULT_PORT: Final = 8000
SECRETS_FOLDER: Final = Path("/run/secrets")
SECRETS: Final = (
    *(*LOGIN_VARIABLES, *TOKEN_VARIABLES, PROMOTION_KEY, WEBHOOK_SECRET),
    *("CARPRICE_API_KEYS", "CARPRICE_OUTCOMES"),
)


def port(environment: Mapping[str, str] = os.environ) -> int:
    """Return the port to listen on: ``PORT``, else SageMaker's variable, else the default.

    :class:`InputError` if the variable holds no port number.

    Examples
    --------
    >>> port({}), port({"SAGEMAKER_BIND_TO_PORT": "8080"}), port({"PORT": "9000"})
    (8000, 8080, 9000)
    """
    for name in ("PORT", "SAGEMAKER_BIND_TO_PORT"):
        if given := environment.get(name):
            if given.isascii() and given.isdigit() and len(given) < 6 and int(given) < 65536:
                return int(given)
            raise InputError(f"{name} must be a port's number from 0 to 65535 (found {given!r})")
    return DEFAULT_PORT


def read_secrets(environment: MutableMapping[str, str] = os.environ) -> None:
    """Set each variable of :data:`SECRETS` that is not set from the file of the same name.

    The files are in ``/run/secrets``, or in the folder that ``CARPRICE_SECRETS`` names.
    :class:`InputError` if one cannot be read; its content is not shown.
    """
    folder = Path(environment.get("CARPRICE_SECRETS") or SECRETS_FOLDER)
    for name in SECRETS:
        path = folder / name
        try:
            if not environment.get(name) and path.is_file():
                environment[name] = path.read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            problem = getattr(error, "strerror", None) or "it is not UTF-8 text"
            user = os.getuid() if hasattr(os, "getuid") else ""
            raise InputError(
                f"{path}: the secret {name} cannot be read ({problem}); let the service's user "
                f"{user} read it"
            ) from None
