"""Addresses as messages, reports and logs may show them."""

import re


def redact(source: str) -> str:
    """Hide the passwords and tokens of an address, so that it may be shown; a web login wholly.

    Examples
    --------
    >>> redact("postgresql+psycopg://ann:<s3cret>@db.example.com/cars")
    'postgresql+psycopg://ann:***@db.example.com/cars'
    >>> redact("https://example.com/cars.csv?day=7&X-Amz-Signature=abc")
    'https://example.com/cars.csv?day=7&X-Amz-Signature=***'
    >>> redact("data/cars.csv")
    'data/cars.csv'
    """
    hidden = re.sub(r"(https?://)[^/?#\s]+@", r"\1***@", source)
    hidden = re.sub(r"(://[^:/@?#\s]*):\S*@", r"\1:***@", hidden)
    return re.sub(
        r"(?i)([?&;][^=&#]*(?:token|key|secret|sig|pass|pwd|auth|cred)[^=&#]*=)[^&#\s]*",
        r"\1***",
        hidden,
    )
