"""JSON → Python, within limits: long bodies are read in short steps, so that others get their turn.

The interpreter does nothing else while a parser runs. So what is longer than a step is never parsed
at once: its parts are, one after another.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Sized
from functools import partial
from typing import Any, Final, TypeVar

import jiter

from api.bodies import ListingRequest
from api.problems import Kind, ProblemError, invalid_field
from carprice.schema import MOST_OWN

MOST_KEYS: Final = 2 * len(ListingRequest.model_fields) + MOST_OWN
"""Keys of an object: no form has more than a listing has with both spellings of each field, and
with a market's own columns."""
_SHORT: Final = 64 * 1024
LONGEST_ROW: Final = 2 * _SHORT
"""Characters of a row of CSV; and how much JSON is parsed at once."""
_CUT_OFF: Final = len("1e+")
_DEEPEST: Final = 8
_ROWS_DEPTH: Final = 3
_LAST_SIGNS: Final = {"{": "}", "[": "]"}
_ELEMENTS: Final = 1000
_BRACKETS: Final = 1000
_BRACKETS_OF_ROW: Final = 8
_SPACE: Final = re.compile(r"[ \t\r\n]+")

T = TypeVar("T")


def parse_json(
    body: bytes, most: int = 1, each: Callable[[Any], Any] | None = None, *, strict: bool = False
) -> Any:
    """Parse JSON in which no key is repeated; 422 if it is not JSON, or repeats a key.

    Unless ``strict``, an object inside of the body that repeats a key, such as a row, is no error
    of the whole: it comes as its :class:`ProblemError`.

    Parameters
    ----------
    most : rows that the body may have; 413 if it has far more arrays, objects or elements.
    each : reads the rows of a long body, so that they need not be kept; 413 for a very long one.
    """
    brackets, allowed = body.count(b"[") + body.count(b"{"), _BRACKETS + _BRACKETS_OF_ROW * most
    if brackets > allowed:
        message = f"the body has {brackets:,} opening brackets; at most {allowed:,} are read"
        raise ProblemError(Kind.TOO_LARGE, message)
    if len(body) <= _SHORT:
        try:
            return jiter.from_json(body, catch_duplicate_keys=True)
        except ValueError:
            try:
                jiter.from_json(body)
            except ValueError as error:
                raise _not_json(error) from None
    # Only the standard library tells in which object a key is repeated, and where a value ends.
    try:
        content = _LongText(body, max(most, _ELEMENTS), each, strict=strict).read()
    except RecursionError:
        raise _not_json("it is nested too deeply") from None
    except ValueError as error:
        raise _not_json(error) from None
    if isinstance(content, ProblemError):
        raise content
    return content


class _LongText:
    """A text of JSON of which a step is looked at: its window, which moves on."""

    def __init__(
        self, body: bytes, most: int, each: Callable[[Any], Any] | None, *, strict: bool
    ) -> None:
        self._text = body.decode()
        self._most = most
        self._each = each
        self._as_object = partial(_object, strict=strict)
        self._decoder = json.JSONDecoder(object_pairs_hook=self._as_object)
        self._has_surrogates = b"\\" in body and (b"\\ud" in body or b"\\uD" in body)
        self._depth = 0
        self._one_by_one = 0
        self._move(0)

    def read(self) -> Any:
        """Return the value that the whole text is; ValueError if it is none."""
        content, end = self._value(self._skip_space(0))
        if (end := self._skip_space(end)) < len(self._text):
            raise self._expected("the end", end)
        return content

    def _move(self, start: int) -> None:
        self._start = start
        self._window = self._text[start : start + LONGEST_ROW]

    def _value(self, start: int) -> tuple[Any, int]:
        """Return the value that begins there, and where it ends."""
        if not self._start <= start < self._start + len(self._window):
            self._move(start)
        try:
            return self._value_in_window(start)
        except ValueError:
            # It is cut off by the window's end, or it is wrong: that shows where there is more.
            if start > self._start:
                self._move(start)
                return self._value(start)
            sign = self._window[:1]
            if sign == "[":
                return self._parts(start, "]", self._elements, self._most)
            if sign == "{":
                pairs, end = self._parts(start, "}", self._pair, MOST_KEYS)
                return self._as_object(pairs), end
            if len(self._window) == LONGEST_ROW:
                raise ValueError(f"the value at character {start} is too long") from None
            raise

    def _value_in_window(self, start: int) -> tuple[Any, int]:
        place = start - self._start
        try:
            value, end = self._decoder.raw_decode(self._window, place)
        except json.JSONDecodeError as error:
            raise ValueError(f"{error.msg} at character {self._start + error.pos}") from None
        if end > LONGEST_ROW - _CUT_OFF and isinstance(value, int | float):
            raise ValueError("a number is cut off")
        if self._has_surrogates:
            jiter.from_json(self._window[place:end].encode())  # refuses half a surrogate pair
        return value, self._start + end

    def _elements(self, start: int) -> tuple[list[Any], int]:
        """Return the element that begins there, or the rows of a step; and where they end."""
        if self._each is None or self._depth > _ROWS_DEPTH:
            element, end = self._value(start)
            return [element], end
        rows, end = self._rows(start)
        return [*map(self._each, rows[: self._most + 1])], end

    def _rows(self, start: int) -> tuple[list[Any], int]:
        """Read as many rows as a step has, or one; 413 for one that is longer."""
        sign = _LAST_SIGNS.get(self._text[start : start + 1])
        last = self._text.rfind(f"{sign},", start, start + LONGEST_ROW) if sign else -1
        if last > 0 and start >= self._one_by_one:
            rows = f"[{self._text[start : last + 1]}]".encode()
            try:
                # A comma between two rows is where all before it are rows; others make it fail.
                return jiter.from_json(rows, catch_duplicate_keys=True), last + 1
            except ValueError:
                self._one_by_one = start + LONGEST_ROW
        row, end = self._value(start)
        if end - start > LONGEST_ROW:
            message = f"the row at character {start:,} has more than {LONGEST_ROW:,} characters"
            raise ProblemError(Kind.TOO_LARGE, message)
        return [row], end

    def _pair(self, start: int) -> tuple[list[tuple[str, Any]], int]:
        key, end = self._value(start)
        if not isinstance(key, str):
            raise self._expected("a key", start)
        value, end = self._value(self._skip(":", self._skip_space(end)))
        return [(key, value)], end

    def _parts(
        self, start: int, last: str, read: Callable[[int], tuple[list[T], int]], most: int
    ) -> tuple[list[T], int]:
        """Read the parts of an array or object until its last sign; 413 for too many."""
        self._depth += 1
        if self._depth > _DEEPEST:
            raise RecursionError
        parts: list[T] = []
        end = self._skip_space(start + 1)
        if not self._text.startswith(last, end):
            parts, end = read(end)
            while not self._text.startswith(last, end := self._skip_space(end)):
                more, end = read(self._skip(",", end))
                parts += more
                if len(parts) > most:
                    message = f"the body has an array or object of more than {most:,} parts"
                    raise ProblemError(Kind.TOO_LARGE, message)
        self._depth -= 1
        return parts, end + 1

    def _skip(self, sign: str, place: int) -> int:
        if not self._text.startswith(sign, place):
            raise self._expected(f"`{sign}`", place)
        return self._skip_space(place + 1)

    def _skip_space(self, place: int) -> int:
        while found := _SPACE.match(self._text, place, place + LONGEST_ROW):
            place = found.end()
        return place

    def _expected(self, what: str, place: int) -> ValueError:
        return ValueError(f"expected {what} at character {place}")


def _object(pairs: list[tuple[str, Any]], *, strict: bool) -> dict[str, Any] | ProblemError:
    content = dict(pairs)
    if len(pairs) > MOST_KEYS:
        error = too_many_keys(pairs)
    elif len(content) < len(pairs):
        (key, _), *_ = Counter(key for key, _ in pairs).most_common(1)
        error = invalid_field(key[:200], "is there twice; leave one out")
    else:
        return content
    if strict:
        raise error
    return error


def too_many_keys(content: Sized) -> ProblemError:
    """Return the problem of an object with more keys than a listing may have."""
    message = f"the row has {len(content):,} keys; a listing has at most {MOST_KEYS}"
    return ProblemError(Kind.LISTING, message)


def _not_json(error: object) -> ProblemError:
    return ProblemError(Kind.MALFORMED, f"the body is not valid JSON: {error}")
