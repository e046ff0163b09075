"""Copy a file from a web address, in bounded time and size whatever its server does."""

import asyncio
import os
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Final

from carprice.errors import InputError
from carprice.listings.sources.chunks import one_line
from carprice.listings.sources.limits import MOST_SECONDS_SILENT, Transfer
from carprice.redaction import hide_secrets, redact

if TYPE_CHECKING:
    import httpx

_REASON_SHOWN: Final = 200
_MOST_REDIRECTS: Final = 20


def download(origin: str, path: Path) -> None:
    """Copy what stands at a web address as the server stores it.

    A login in the address goes to that scheme, host and port alone: httpx drops it where a
    redirect leads elsewhere.

    Raises
    ------
    InputError
        If it cannot be had whole, or takes too long or too much room.
    """
    asyncio.run(_download(origin, path))


async def _download(origin: str, path: Path) -> None:
    import httpx

    label = redact(origin)
    answer: httpx.Response | None = None
    try:
        async with _client(label) as client:
            async with asyncio.timeout(MOST_SECONDS_SILENT):
                answer = await _answer(client, client.build_request("GET", origin))
            answer.raise_for_status()
            await _copy(answer, path, label)
    except httpx.HTTPStatusError as error:
        status = f"{error.response.status_code} ({_told(error.response.reason_phrase, origin)})"
        raise InputError(
            f"{label} answered HTTP status {status}; check the address and "
            "that it may be read without further login"
        ) from None
    except httpx.InvalidURL:
        raise InputError(
            f"{label} is no web address; write / # ? : of a login as %2F %23 %3F %3A"
        ) from None
    # anyio and idna let the last two through.
    except (httpx.HTTPError, TimeoutError, ssl.SSLError, ValueError) as error:
        is_silent = isinstance(error, TimeoutError | httpx.TimeoutException)
        reason = f"silent for {MOST_SECONDS_SILENT} seconds"
        if answer is not None:
            told = f", {reason}" if is_silent else ""
            raise InputError(f"{label} broke off after {_got(answer)}{told}; try again") from None
        if not is_silent:
            reason = _told(_why(error), origin)
        raise InputError(f"{label} cannot be reached: {reason}") from None


async def _answer(client: "httpx.AsyncClient", request: "httpx.Request") -> "httpx.Response":
    """Follow redirects, whose bodies httpx itself would read whole and unpack."""
    import httpx

    for _ in range(_MOST_REDIRECTS + 1):
        answer = await client.send(request, stream=True)
        if answer.next_request is None:
            return answer
        request = answer.next_request
        await answer.aclose()
    raise httpx.TooManyRedirects("Exceeded maximum allowed redirects.", request=request)


async def _copy(answer: "httpx.Response", path: Path, label: str) -> None:
    """Write an answer's body to a file."""
    expected = answer.headers.get("Content-Length")
    transfer = Transfer(label, expected and int(expected))
    with path.open("wb") as file:
        async for block in answer.aiter_raw():
            file.write(block)
            transfer.add(len(block))


def _got(answer: "httpx.Response") -> str:
    expected = answer.headers.get("Content-Length", "unknown")
    return f"{answer.num_bytes_downloaded} of {expected} bytes"


def _client(label: str) -> "httpx.AsyncClient":
    import httpx

    try:
        return httpx.AsyncClient(
            headers={"User-Agent": "carprice", "Accept-Encoding": "identity"},
            verify=ssl.create_default_context(),
            timeout=MOST_SECONDS_SILENT,
            follow_redirects=False,
        )
    except (ImportError, ValueError, httpx.InvalidURL):
        raise InputError(
            f"{label} cannot be reached: HTTP_PROXY, HTTPS_PROXY or ALL_PROXY names a proxy of a "
            "kind that is not known here; set an http:// address, or NO_PROXY"
        ) from None


def _why(error: BaseException) -> str:
    """Return the reason of an error; anyio tells of failed connections only that they failed."""
    cause: BaseException | None = error
    while cause is not None and not (isinstance(cause, ConnectionError) and cause.errno):
        cause = cause.__cause__ or cause.__context__
    return one_line(error) if cause is None else os.strerror(cause.errno or 0)


def _told(reason: str, origin: str) -> str:
    """Return what a server or a library said, without the login that it may repeat."""
    shown = hide_secrets(reason, origin)
    return shown if len(shown) <= _REASON_SHOWN else f"{shown[:_REASON_SHOWN]}…"
