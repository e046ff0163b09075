"""What a version's tags say for it being in production, and the signatures that tell who said so.

It asks nobody and imports no MLflow: the service reads the record too.
"""

import datetime
import hashlib
import hmac
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from carprice.errors import InputError
from carprice.redaction import PROMOTION_KEY

SHORTEST_KEY: Final = 32
SINCE: Final = "production_since"
PROMOTION_SIGNATURE: Final = "production_signature"
TESTS_SIGNATURE: Final = "tests_signature"
REPLACED: Final = "previous_since"


def promotion_key(environment: Mapping[str, str] = os.environ) -> bytes:
    """Return the key that promotions and model tests are signed with; empty where there is none.

    Raises
    ------
    InputError
        If it is too short to be one.
    """
    key = environment.get(PROMOTION_KEY, "")
    if key and len(key) < SHORTEST_KEY:
        raise InputError(
            f"{PROMOTION_KEY} has {len(key)} characters; it needs {SHORTEST_KEY} or more, such as "
            '`python -c "import secrets; print(secrets.token_hex(32))"` prints'
        )
    return key.encode()


@dataclass(frozen=True)
class Record:
    """What the registry says of one version of a model."""

    name: str
    version: str
    digest: str
    tags: Mapping[str, str] = field(default_factory=dict)

    def signed_promotion(self, key: bytes, since: str) -> dict[str, str]:
        """Return the tag that signs a promotion; none without a key."""
        told = _signature(key, "promotion", self.name, self.version, self.digest, since)
        return {PROMOTION_SIGNATURE: told} if key else {}

    def signed_tests(self, key: bytes, limits: str) -> dict[str, str]:
        """Return the tag that signs passed model tests; none without a key."""
        told = _signature(key, "tests", self.name, self.version, self.digest, limits)
        return {TESTS_SIGNATURE: told} if key else {}

    def objection_to_tests(self, key: bytes = b"") -> str:
        """Return why the very bytes do not count as tested; empty if they do."""
        tags = self.tags
        if tags.get("tests") == "failed":
            return "it failed the model tests"
        if tags.get("tests") != "passed":
            return "it has not been through the model tests"
        if tags.get("tests_digest") != self.digest:
            return "it passed the model tests with another digest"
        if not self._has(self.signed_tests(key, tags.get("tests_limits", ""))):
            return f"nobody who has the {PROMOTION_KEY} says that it passed the model tests"
        return ""

    def is_promotion_signed(self, key: bytes) -> bool:
        """Whether whoever has the key put this very digest there, under this number and then."""
        return bool(key) and self._has(self.signed_promotion(key, self.tags.get(SINCE, "")))

    def objection(self, key: bytes = b"") -> str:
        """Return why the record does not bear this version out in production; empty if it does.

        Parameters
        ----------
        key : key of the signatures; without one there need be none.
        """
        since, replaced = (_time(self.tags.get(tag, "")) for tag in (SINCE, REPLACED))
        if self.tags.get("withdrawn"):
            return "it was rolled back"
        if told := self.objection_to_tests(key):
            return told
        if since is None:
            return "nothing says that it was promoted"
        if replaced is not None and replaced > since:
            return f"it was replaced at {replaced.isoformat()} and not brought back"
        if key and not self.is_promotion_signed(key):
            return (
                f"nobody who has the {PROMOTION_KEY} says that it was promoted with this digest, "
                "number and time"
            )
        return ""

    def _has(self, signature: Mapping[str, str]) -> bool:
        return all(
            hmac.compare_digest(told.encode(), self.tags.get(tag, "").encode())
            for tag, told in signature.items()
        )


def _signature(key: bytes, *parts: str) -> str:
    return hmac.new(key, json.dumps(["carprice", *parts]).encode(), hashlib.sha256).hexdigest()


def _time(text: str) -> datetime.datetime | None:
    """Return the moment that a tag names; None if it names none."""
    try:
        return datetime.datetime.fromisoformat(text).astimezone(datetime.UTC)
    except (ValueError, OverflowError):
        return None
