"""A page as an answer: its policy, its language, and the page that there is without a model."""

from typing import Any, Final

from fastapi import Request, Response
from fastapi.responses import HTMLResponse

from api.pages.numerals import Numerals
from api.pages.rendering import POLICY, render
from api.problems import Kind

LANGUAGE: Final = "Accept-Language"


def numerals_of(request: Request) -> Numerals:
    """Return how the reader writes numbers."""
    return Numerals.of(request.headers.get("accept-language", ""))


def page_of(
    request: Request, template: str, status: int = 200, vary: str = LANGUAGE, **values: Any
) -> Response:
    """Return a page, drawn by a template.

    Parameters
    ----------
    vary : the headers of a request by which pages at this address differ.
    """
    exchange = request.scope["state"]["exchange"]
    exchange.replace((b"content-security-policy", POLICY))
    root = request.scope.get("root_path", "")
    text = render(template, root, version=exchange.version, **values)
    return HTMLResponse(text, status, {"Vary": vary})


def no_model(request: Request, why: str, vary: str = LANGUAGE) -> Response:
    """Return the page that says why there is no model yet."""
    answer = page_of(request, "no_model.html.jinja", Kind.NO_MODEL.status, vary, why=why)
    answer.headers["Retry-After"] = "5"
    return answer
