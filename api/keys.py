"""API keys, kept as hashes, and how often each may ask."""

import hashlib
import hmac
import math
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from api.service_settings import ServiceSettings
from carprice.errors import InputError

_ENTRY = re.compile(r"([A-Za-z0-9_.-]{1,64}):([0-9a-f]{64})")


def new_key() -> str:
    """Return a new random key: 256 bits, so that its plain hash cannot be turned back."""
    return secrets.token_urlsafe(32)


def hashed(key: str) -> str:
    """Return the SHA-256 under which a key is kept."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def entry(name: str, key: str) -> str:
    """Return what ``CARPRICE_API_KEYS`` holds of a key; :class:`InputError` for an odd name."""
    line = f"{name}:{hashed(key)}"
    if not _ENTRY.fullmatch(line):
        raise InputError(f"{name!r} is no name of a key; use letters, digits, '.', '-' and '_'")
    return line


def name_of(keys: Mapping[str, str], key: str) -> str | None:
    """Return the name of a key, or None; in the same time whichever key it is.

    ``keys`` are names by hash; several are valid at once, so that one can follow another.
    """
    given, found = hashed(key), None
    for known, name in keys.items():
        if hmac.compare_digest(known, given):
            found = name
    return found


def read_keys(settings: ServiceSettings) -> dict[str, str]:
    """Return the names of the keys in the environment and in the file, by hash.

    :class:`InputError` if an entry is not ``name:hash``, or the file cannot be read.
    """
    path = settings.api_keys_file
    entries = {"CARPRICE_API_KEYS": settings.api_keys.get_secret_value().split(",")}
    if path is not None:
        try:
            entries[str(path)] = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"CARPRICE_API_KEYS_FILE: cannot read {path}: {error}") from None
    names = {}
    for where, lines in entries.items():
        for place, line in enumerate(map(str.strip, lines), 1):
            if not line or line.startswith("#"):
                continue
            match = _ENTRY.fullmatch(line)
            if match is None:
                raise InputError(
                    f"{where}, entry {place}: is not name:hash; make one with `carprice api-key`"
                )
            names[match[2]] = match[1]
    if path is not None and not names:
        raise InputError(f"CARPRICE_API_KEYS_FILE: {path} holds no entry")
    if settings.rate_limit and not names:
        raise InputError("CARPRICE_RATE_LIMIT is for each API key; set CARPRICE_API_KEYS")
    return names


def names_that_may_tell(
    settings: ServiceSettings, keys: Mapping[str, str]
) -> frozenset[str] | None:
    """Return the names of the keys that may tell outcomes; None: all.

    :class:`InputError` if no key has one of the names.
    """
    names = frozenset(filter(None, map(str.strip, settings.outcomes_keys.split(","))))
    if unknown := names - {*keys.values()}:
        raise InputError(f"CARPRICE_OUTCOMES_KEYS: there is no API key named {min(unknown)!r}")
    return names or None


@dataclass
class RateLimit:
    """How many requests a minute each name may make: a token bucket of a minute's requests."""

    per_minute: int
    now: Callable[[], float] = time.monotonic
    _left: dict[str, tuple[float, float]] = field(default_factory=dict)

    def wait(self, name: str) -> int:
        """Count a request; return 0, or after how many seconds the next one is allowed."""
        if not self.per_minute:
            return 0
        now, rate = self.now(), self.per_minute / 60
        tokens, then = self._left.get(name, (float(self.per_minute), now))
        tokens = min(float(self.per_minute), tokens + (now - then) * rate)
        if tokens < 1:
            self._left[name] = (tokens, now)
            return math.ceil((1 - tokens) / rate)
        self._left[name] = (tokens - 1, now)
        return 0
