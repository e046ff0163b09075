"""DagsHub asked by its own package: whose a token is, and whether it shows a repository.

Of the package only the request is used, with the token in a header: see
docs/decisions/0008-asking-dagshub.md. The service asks none of this; address and token are enough.
"""

import threading
from concurrent.futures import Future
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from carprice.errors import RefusedError
from carprice.registry.logins import (
    HOST_VARIABLE,
    dagshub_host,
    dagshub_repository,
    dagshub_token,
    missing_repository,
    refused_token,
    tls_context,
    without_login,
)

if TYPE_CHECKING:
    from httpx import Response

_SECONDS: Final = 4.0
_users: dict[tuple[str, str], str] = {}


def check_login(uri: str) -> None:
    """Make sure that DagsHub accepts the token for an address and has the repository there.

    Nothing is asked where the address is not DagsHub's, where another login than a token is given,
    or where this was found out before.

    Raises
    ------
    InputError
        If there is no login at all.
    RefusedError
        If DagsHub refuses the token, does not show the repository, or does not answer in seconds.
    """
    token = dagshub_token(uri)
    if token is not None and (without_login(uri), token) not in _users:
        _users[without_login(uri), token] = _ask(uri, token)


def user_of(uri: str, token: str) -> str:
    """Return the user name to log in with: the token's owner, or the token where nobody asked."""
    return _users.get((without_login(uri), token), token)


def _ask(uri: str, token: str) -> str:
    """Return the user name of the token's owner, if DagsHub shows the repository."""
    import httpx
    from dagshub.auth.token_auth import HTTPBearerAuth
    from dagshub.common.helpers import http_request

    host, repository = dagshub_host(), dagshub_repository(uri)
    owner: Future[str] = Future()

    def get(path: str) -> "Response":
        answer: Response = http_request(
            "GET",
            f"{host}/api/v1/{path}",
            auth=HTTPBearerAuth(token),
            timeout=_SECONDS,
            follow_redirects=False,  # the token is for this host alone
            verify=tls_context(),
        )
        if answer.status_code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise refused_token(answer.status_code)
        return answer

    def ask() -> None:
        try:
            user = get("user")
            is_asked = repository and user.is_success
            if is_asked and get(f"repos/{repository}").status_code == HTTPStatus.NOT_FOUND:
                raise missing_repository(uri)
            owner.set_result(_name(user))
        except Exception as error:
            owner.set_exception(error)

    # The timeout of a socket is for one operation: a server that sends a byte now and then, or a
    # name server that hangs, takes as long as it likes.
    threading.Thread(target=ask, name="dagshub", daemon=True).start()
    try:
        return owner.result(_SECONDS)
    except TimeoutError:
        reason = f"no answer within {_SECONDS:g} s"
    except (OSError, httpx.HTTPError, httpx.InvalidURL) as error:
        reason = _reason(error)
    raise RefusedError(
        f"DagsHub at {host} cannot be reached ({reason}); check the network and {HOST_VARIABLE}"
    )


def _name(answer: "Response") -> str:
    try:
        content = answer.json()
        name = content.get("username") or content.get("login")
    except (ValueError, AttributeError):
        name = None
    if answer.status_code != HTTPStatus.OK or not isinstance(name, str):
        raise RefusedError(
            f"{dagshub_host()} does not answer as DagsHub does (HTTP status "
            f"{answer.status_code}); check {HOST_VARIABLE}, or try again later"
        )
    return name


def _reason(error: BaseException) -> str:
    """Return what the operating system said, where it did."""
    cause: BaseException | None = error
    while cause is not None:
        if told := getattr(cause, "strerror", None):
            return str(told)
        cause = cause.__cause__ or cause.__context__
    return str(error) or type(error).__name__
