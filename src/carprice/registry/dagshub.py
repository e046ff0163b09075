"""DagsHub, an MLflow server for each repository: its address, and the login that a token gives.

Nothing here asks a person or opens a page, and every request is over within seconds. The token goes
to the host of ``DAGSHUB_CLIENT_HOST`` alone, in a header, and follows no redirect.
"""

import http.client
import json
import os
import queue
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import unquote, urlsplit, urlunsplit

from carprice.errors import InputError, RefusedError
from carprice.registry.tls import tls_context

HOST_VARIABLE: Final = "DAGSHUB_CLIENT_HOST"
TOKEN_VARIABLES: Final = ("DAGSHUB_USER_TOKEN", "DAGSHUB_PAT")
_HOST: Final = "https://dagshub.com"
_PORTS: Final = {"http": 80, "https": 443}
_SECONDS: Final = 4.0
_LARGEST_ANSWER: Final = 1_000_000
_REPOSITORY: Final = re.compile(r"/([^/]+/[^/]+)\.mlflow/?")

_users: dict[tuple[str, str], str] = {}
_repositories: set[tuple[str, str, str]] = set()


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Takes a redirect for an answer: urllib would carry the token along to another host."""

    def redirect_request(self, *_: object) -> None:
        """Follow nothing."""


def address(repository: str) -> str:
    """Return the MLflow address of a repository ``owner/repo``.

    Raises
    ------
    InputError
        If ``DAGSHUB_CLIENT_HOST`` is no web address.
    """
    return f"{_host()}/{repository}.mlflow"


def is_dagshub(uri: str) -> bool:
    """Whether an address is on DagsHub's host, the one that the token is for."""
    try:
        return _site(uri) == _site(_host())
    except InputError:
        return False


def host() -> str:
    """Return DagsHub's address, or nothing where the environment names none that can be."""
    try:
        return _host()
    except InputError:
        return ""


def repository(uri: str) -> str:
    """Return the ``owner/repo`` of a DagsHub address, or nothing."""
    found = _REPOSITORY.fullmatch(urlsplit(uri).path) if is_dagshub(uri) else None
    return unquote(found[1]) if found else ""


def token_variable() -> str | None:
    """Return the variable whose token is used: the first that is set to something."""
    return next((name for name in TOKEN_VARIABLES if os.environ.get(name, "").strip()), None)


def login(uri: str) -> tuple[str, str] | None:
    """Return user name and password for MLflow's server at a DagsHub address.

    Returns
    -------
    tuple or None
        None where the address is not DagsHub's, or MLflow's own variables or the address hold the
        login.

    Raises
    ------
    InputError
        If there is no login at all.
    RefusedError
        If DagsHub does not accept the token, or does not answer.
    """
    if not is_dagshub(uri):
        return None
    variable = token_variable()
    if variable is None:
        if _has_another_login(uri):
            return None
        raise InputError(
            f"DagsHub at {_host()} needs a token: set {TOKEN_VARIABLES[0]} to one from "
            f"{_host()}/user/settings/tokens"
        )
    token = _token(variable)
    if (_host(), token) not in _users:
        status, content = _get("user", variable)
        name = content.get("username") or content.get("login")
        if status != HTTPStatus.OK or not isinstance(name, str):
            raise RefusedError(
                f"{_host()} does not answer as DagsHub does (HTTP status {status}); check "
                f"{HOST_VARIABLE}, or try again later"
            )
        _users[_host(), token] = name
    return _users[_host(), token], token


def check_repository(uri: str) -> None:
    """Make sure that DagsHub shows the repository of an address to the token's owner.

    Raises
    ------
    RefusedError
        If it does not, or does not answer.
    """
    variable, name = token_variable(), repository(uri)
    if variable is None or not name:
        return
    known = (_host(), _token(variable), name)
    if known in _repositories:
        return
    status, _ = _get(f"repos/{name}", variable)
    if status == HTTPStatus.NOT_FOUND:
        raise RefusedError(
            f"DagsHub at {_host()} has no repository {name}, or the token in {variable} may not "
            "see it; create it there, or correct tracking.dagshub or MLFLOW_TRACKING_URI"
        )
    if status == HTTPStatus.OK:
        _repositories.add(known)


def known_logins() -> list[tuple[str, str]]:
    """Return the user names and tokens that were used so far."""
    return [(name, token) for (_, token), name in _users.items()]


def without_login(uri: str) -> str:
    """Return an address without the user name and password in it."""
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _host() -> str:
    given = os.environ.get(HOST_VARIABLE, "").strip() or _HOST
    parts = urlsplit(given) if _site(given) else None
    if parts is None or "@" in parts.netloc or parts.query or parts.fragment:
        # Not shown: what is wrong with it may be a login.
        raise InputError(f"{HOST_VARIABLE} is no address such as {_HOST}, without a login")
    return given.rstrip("/")


def _site(uri: str) -> tuple[str, str, int] | None:
    """Return scheme, host and port of a web address; None for anything else."""
    try:
        parts = urlsplit(uri)
        if parts.scheme not in _PORTS or not parts.hostname:
            return None
        return parts.scheme, parts.hostname, parts.port or _PORTS[parts.scheme]
    except ValueError:
        return None


def _token(variable: str) -> str:
    token = os.environ[variable].strip()
    if not re.fullmatch(r"[!-~]+", token):
        raise InputError(f"{variable} holds a blank or a sign that no token has; copy it again")
    return token


def _has_another_login(uri: str) -> bool:
    parts = urlsplit(uri)
    names = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
    user, password, token = (os.environ.get(name, "").strip() for name in names)
    return bool(parts.username or parts.password or (user and password) or token)


def _get(path: str, variable: str) -> tuple[int, dict[str, Any]]:
    """Return status and JSON object of an answer of DagsHub's interface; 404 is one."""
    request = urllib.request.Request(  # noqa: S310 - http or https, see _site
        f"{_host()}/api/v1/{path}",
        headers={"Authorization": f"Bearer {_token(variable)}", "Accept": "application/json"},
    )
    try:
        status, body = _within(_SECONDS, lambda: _answer(request))
    except TimeoutError:
        raise _unreachable(f"no answer within {_SECONDS:g} s") from None
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise _unreachable(
            getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
        ) from None
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        raise RefusedError(
            f"DagsHub at {_host()} does not accept the token in {variable} (HTTP status {status}); "
            f"make a new one at {_host()}/user/settings/tokens"
        )
    try:
        content = json.loads(body)
    except ValueError:
        content = None
    return status, content if isinstance(content, dict) else {}


def _unreachable(reason: str) -> RefusedError:
    return RefusedError(
        f"DagsHub at {_host()} cannot be reached ({reason}); check the network and {HOST_VARIABLE}"
    )


def _answer(request: urllib.request.Request) -> tuple[int, bytes]:
    secure = urllib.request.HTTPSHandler(context=tls_context())
    opener = urllib.request.build_opener(_NoRedirect, secure)
    try:
        with opener.open(request, timeout=_SECONDS) as answer:
            return answer.status, answer.read(_LARGEST_ANSWER)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(_LARGEST_ANSWER)


def _within(seconds: float, work: Callable[[], tuple[int, bytes]]) -> tuple[int, bytes]:
    """Return what work returns, or give up on it.

    A socket's timeout is for one operation: a name server that hangs, and a server that sends a
    byte now and then, take as long as they like.
    """
    told: queue.SimpleQueue[tuple[int, bytes] | Exception] = queue.SimpleQueue()

    def run() -> None:
        try:
            told.put(work())
        except Exception as error:
            told.put(error)

    threading.Thread(target=run, name="dagshub", daemon=True).start()
    try:
        found = told.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError from None
    if isinstance(found, Exception):
        raise found
    return found
