"""The bare application: ASGI alone reads the body and answers a constant of a price's size.

It is what Python and the server take where nothing is done.
"""

from typing import Any, Final

ANSWER: Final = (
    b'{"predictedPrice":512000.0,"priceLow":421000.0,"priceHigh":615000.0,'
    b'"valuationDate":"2025-06-30","warnings":[],"confidence":0.9,"currency":"INR",'
    b'"modelDigest":"' + b"0" * 64 + b'","modelVersion":"1"}'
)
_HEADERS: Final = [
    (b"content-length", b"%d" % len(ANSWER)),
    (b"content-type", b"application/json"),
]


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer the constant."""
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": ANSWER})
