"""Logins to the tracking server, and how its certificate is checked.

A login stands in MLflow's variables, in the address, or is DagsHub's token. DagsHub has an MLflow
server for each repository at ``{host}/{owner}/{repo}.mlflow``; its token is for the host of
``DAGSHUB_CLIENT_HOST`` alone.
"""

import contextlib
import os
import re
import ssl
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from carprice.errors import InputError, RefusedError
from carprice.redaction import LOGIN_VARIABLES, TOKEN_VARIABLES, basic, redact

HOST_VARIABLE: Final = "DAGSHUB_CLIENT_HOST"
MLFLOW_TOKEN, *DAGSHUB_TOKENS = TOKEN_VARIABLES
_HOST: Final = "https://dagshub.com"
_PORTS: Final = {"http": 80, "https": 443}
_REPOSITORY: Final = re.compile(r"/([^/]+/[^/]+)\.mlflow/?")


def split(uri: str) -> SplitResult:
    """Return the parts of an address; a text that is no address is all path."""
    try:
        return urlsplit(uri)
    except ValueError:
        return SplitResult("", "", uri, "", "")


def without_login(uri: str) -> str:
    """Return an address without the user name and password in it."""
    parts = split(uri)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def dagshub_host() -> str:
    """Return DagsHub's address.

    Raises
    ------
    InputError
        If ``DAGSHUB_CLIENT_HOST`` is no web address.
    """
    given = os.environ.get(HOST_VARIABLE, "").strip() or _HOST
    parts = split(given)
    if _site(given) is None or "@" in parts.netloc or parts.query or parts.fragment:
        # Not shown: what is wrong with it may be a login.
        raise InputError(f"{HOST_VARIABLE} is no address such as {_HOST}, without a login")
    return given.rstrip("/")


def dagshub_address(repository: str) -> str:
    """Return the MLflow address of a repository ``owner/repo`` on DagsHub."""
    return f"{dagshub_host()}/{repository}.mlflow"


def is_dagshub(uri: str) -> bool:
    """Whether an address is on DagsHub's host, the one that the token is for."""
    try:
        return _site(uri) == _site(dagshub_host())
    except InputError:
        return False


def dagshub_repository(uri: str) -> str:
    """Return the ``owner/repo`` of a DagsHub address, or nothing."""
    found = _REPOSITORY.fullmatch(split(uri).path) if is_dagshub(uri) else None
    return unquote(found[1]) if found else ""


def token_variable() -> str | None:
    """Return the variable whose DagsHub token is used: the first that is set to something."""
    return next((name for name in DAGSHUB_TOKENS if os.environ.get(name, "").strip()), None)


def dagshub_token(uri: str) -> str | None:
    """Return the token for a DagsHub address; None for others, or where another login is given.

    Raises
    ------
    InputError
        If there is no login at all, or the token cannot be one.
    """
    if not is_dagshub(uri):
        return None
    variable = token_variable()
    if variable is None:
        if _mlflow_login(uri):
            return None
        raise InputError(
            f"DagsHub at {dagshub_host()} needs a token: set {DAGSHUB_TOKENS[0]} to one from "
            f"{dagshub_host()}/user/settings/tokens"
        )
    token = os.environ[variable].strip()
    if not re.fullmatch(r"[!-~]+", token):
        raise InputError(f"{variable} holds a blank or a sign that no token has; copy it again")
    return token


def header(uri: str) -> dict[str, str]:
    """Return the header that logs in to an address; empty without a login."""
    token = dagshub_token(uri)  # DagsHub takes it as user name and password
    sent = f"Basic {basic(token, token)}" if token else _mlflow_login(uri)
    return {"Authorization": sent} if sent else {}


def _mlflow_login(uri: str) -> str:
    """Return the login in an address or in MLflow's variables, as MLflow's client sends it."""
    parts = split(uri)
    if parts.username or parts.password:
        return f"Basic {basic(unquote(parts.username or ''), unquote(parts.password or ''))}"
    user, password, token = (
        os.environ.get(name, "").strip() for name in (*LOGIN_VARIABLES, MLFLOW_TOKEN)
    )
    if user and password:
        return f"Basic {basic(user, password)}"
    if not (token.isascii() and token.isprintable()):
        raise InputError(f"{MLFLOW_TOKEN} holds a sign that no token has; copy it again")
    return f"Bearer {token}" if token else ""


def refused_token(status: int) -> RefusedError:
    """Return the error of a DagsHub that does not accept the token."""
    return RefusedError(
        f"DagsHub at {dagshub_host()} does not accept the token in {token_variable()} (HTTP "
        f"status {status}); make a new one at {dagshub_host()}/user/settings/tokens"
    )


def missing_repository(uri: str) -> RefusedError:
    """Return the error of a DagsHub that does not show the repository of an address."""
    return RefusedError(
        f"DagsHub at {dagshub_host()} has no repository {dagshub_repository(uri)}, or the token in "
        f"{token_variable()} may not see it; create it there, or correct tracking.dagshub or "
        "MLFLOW_TRACKING_URI"
    )


def remedy(uri: str) -> str:
    """Return what to check when a server refuses."""
    variable = token_variable() if is_dagshub(uri) else None
    if variable:
        return f"check that the token in {variable} may use this repository"
    return "check MLFLOW_TRACKING_URI, the server and its login"


def tls_context() -> ssl.SSLContext:
    """Return a context with the authorities, and the leave, that MLflow's variables give."""
    names = ("MLFLOW_TRACKING_SERVER_CERT_PATH", "REQUESTS_CA_BUNDLE")
    path = next(filter(None, map(os.environ.get, names)), None)
    if path and Path(path).is_dir():
        context = ssl.create_default_context(capath=path)
    else:
        context = ssl.create_default_context(cafile=path)
    if os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("true", "1"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def refuse_another_server(uri: str, place: str) -> None:
    """Refuse a web address of artifacts that is not on the registry's own server.

    MLflow's client would send it the registry's login. Stores such as S3 have logins of their own.

    Raises
    ------
    RefusedError
        If another host, port or scheme is named.

    Examples
    --------
    >>> refuse_another_server("https://ann@example.com/a", "https://example.com:443/b")
    >>> refuse_another_server("https://example.com", "s3://bucket/b")
    """
    parts = split(place)
    if parts.scheme == "mlflow-artifacts":
        if not parts.netloc:
            return
        address = parts._replace(scheme=split(uri).scheme).geturl()
    elif parts.scheme in _PORTS:
        address = place
    else:
        return
    if "@" in parts.netloc or _site(address) is None or _site(address) != _site(uri):
        raise RefusedError(
            f"MLflow at {redact(uri)} names {redact(place)[:200]} as the place of a model's files, "
            "and the login is for the registry's own server alone; let that serve its artifacts "
            "(mlflow server --serve-artifacts), or keep them in a store such as S3"
        )


def _site(uri: str) -> tuple[str, str, int] | None:
    """Return scheme, host and port of a web address; None for anything else."""
    parts = split(uri)
    with contextlib.suppress(ValueError):
        if parts.scheme in _PORTS and parts.hostname:
            return parts.scheme, parts.hostname, parts.port or _PORTS[parts.scheme]
    return None
