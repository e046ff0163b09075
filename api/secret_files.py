"""Secrets from files, as containers get them: an environment is shown by ``docker inspect``."""

import os
from collections.abc import MutableMapping
from pathlib import Path
from typing import Final

from carprice.errors import InputError
from carprice.redaction import LOGIN_VARIABLES, TOKEN_VARIABLES

FOLDER: Final = Path("/run/secrets")
NAMES: Final = (*LOGIN_VARIABLES, *TOKEN_VARIABLES, "CARPRICE_API_KEYS")


def read_secrets(environment: MutableMapping[str, str] = os.environ) -> None:
    """Set each variable of :data:`NAMES` that is not set from the file of its name.

    The files are in ``/run/secrets``, or in the folder that ``CARPRICE_SECRETS`` names.

    Raises
    ------
    InputError
        If a file cannot be read; its content is not shown.
    """
    folder = Path(environment.get("CARPRICE_SECRETS") or FOLDER)
    for name in NAMES:
        path = folder / name
        try:
            if environment.get(name) or not path.is_file():
                continue
            environment[name] = path.read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            problem = getattr(error, "strerror", None) or "it is not UTF-8 text"
            raise InputError(
                f"{path}: the secret {name} cannot be read ({problem}); let the service's user "
                f"{_user()} read it"
            ) from None


def _user() -> str:
    return str(os.getuid()) if hasattr(os, "getuid") else ""
