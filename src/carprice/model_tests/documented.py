"""Requests to every route that a service's OpenAPI document names, made of the document itself."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple


class Asked(NamedTuple):
    """A request; ``body`` and ``media_type`` are None where the route reads no body."""

    method: str
    path: str
    body: bytes | None = None
    media_type: str | None = None

    def sent(self) -> dict[str, Any]:
        """Return the request as a client's ``request`` takes it."""
        headers = {"Content-Type": self.media_type} if self.media_type else {}
        return {
            "method": self.method,
            "url": self.path,
            "content": self.body,
            "headers": headers,
        }


def documented(document: Mapping[str, Any], parameters: Mapping[str, str]) -> Iterator[Asked]:
    """Give a request of every route and method, and of every example of its body.

    Parameters
    ----------
    parameters : values of the paths' parameters by their names.
    """
    for template, methods in document["paths"].items():
        path = template.format_map(parameters)
        for method, operation in methods.items():
            contents = operation.get("requestBody", {}).get("content", {})
            if not contents:
                yield Asked(method.upper(), path)
            for media_type, content in contents.items():
                named = content.get("examples", {}).values()
                for example in [one["value"] for one in named] or [content["example"]]:
                    text = example if isinstance(example, str) else json.dumps(example)
                    yield Asked(method.upper(), path, text.encode(), media_type)
