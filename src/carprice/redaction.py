"""Secrets hidden in what messages, reports and logs show."""

import base64
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final
from urllib.parse import quote, quote_plus, unquote

LOGIN_VARIABLES: Final = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
TOKEN_VARIABLES: Final = ("MLFLOW_TRACKING_TOKEN", "DAGSHUB_USER_TOKEN", "DAGSHUB_PAT")
PROMOTION_KEY: Final = "CARPRICE_PROMOTION_KEY"
WEBHOOK_SECRET: Final = "CARPRICE_WEBHOOK_SECRET"  # noqa: S105 - its name


def redact(address: str) -> str:
    """Hide the passwords and tokens in an address; of a web address the user name, too.

    Examples
    --------
    >>> redact("postgresql+psycopg://ann:<s3cret>@db.example.com/cars")
    'postgresql+psycopg://ann:***@db.example.com/cars'
    >>> redact("https://example.com/cars.csv?day=7&X-Amz-Signature=abc")
    'https://example.com/cars.csv?day=7&X-Amz-Signature=***'
    >>> redact("data/cars.csv")
    'data/cars.csv'
    """
    hidden = re.sub(r"(https?://)[^/?#\s]+@", r"\1***@", address)
    hidden = re.sub(r"(://[^:/@?#\s]*):\S*@", r"\1:***@", hidden)
    return re.sub(
        r"(?i)([?&;][^=&#]*(?:token|key|secret|sig|pass|pwd|auth|cred)[^=&#]*=)[^&#\s]*",
        r"\1***",
        hidden,
    )


def hide_secrets(text: str, address: str = "", environment: Mapping[str, str] = os.environ) -> str:
    """Hide in a text the logins of an address and of the environment, and of any address in it.

    A server may repeat what it was sent, so that their encoded forms are hidden as well.

    Examples
    --------
    >>> hide_secrets("no role ann with <p@ss>", "postgresql://ann:<p%40ss>@db/cars", {})
    'no role ann with ***'
    """
    addresses = [one for one in (address, environment.get("MLFLOW_TRACKING_URI", "")) if one]
    for one in addresses:
        text = text.replace(one, redact(one))
    secrets = {form for login in _logins(addresses, environment) for form in _forms(*login)}
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return redact(text)


def _logins(addresses: Iterable[str], environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the user name and password of each login; of a token alone it is both or the first."""
    names = (*LOGIN_VARIABLES, *TOKEN_VARIABLES, PROMOTION_KEY, WEBHOOK_SECRET)
    user, password, *tokens = (environment.get(name, "").strip() for name in names)
    if password:
        yield user, password
    for token in filter(None, tokens):
        yield from ((user, token), (token, token))
    for address in addresses:
        is_web = address.startswith("http")
        found = re.match(r"https?://([^/?#\s]+)@", address) or re.match(
            r"[\w+.-]+://([^:/@?#\s]*:\S*)@", address
        )
        name, _, word = found[1].partition(":") if found else ("", "", "")
        if word or (name and is_web):
            yield from ((name, word), (unquote(name), unquote(word)))


def _forms(user: str, password: str) -> Iterator[str]:
    """Yield how a login may be spelled: plain, as the header of basic access, and in addresses."""
    for secret in (password or user, basic(user, password)):
        yield from (secret, quote(secret), quote_plus(secret))


def basic(user: str, password: str) -> str:
    """Return user name and password as the header of basic access authentication has them."""
    return base64.b64encode(f"{user}:{password}".encode()).decode()
