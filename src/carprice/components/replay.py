"""Replay: price kept quotes again, each with the model of its digest, and compare to the cent.

An answer is believed by its id alone: one that was changed is refused before anything is priced.
"""

import codecs
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

from carprice.appraisal.quote import NoQuoteError, Quote
from carprice.arrays import Progress
from carprice.errors import CarpriceError, CorruptModelError, InputError
from carprice.model import PriceModel
from carprice.model_folder import MANIFEST, folder_digest, is_intact
from carprice.registry.versions import Registry

MOST_QUOTES: Final = 100_000
LONGEST: Final = 1024 * 1024
"""Bytes of one answer; those of the service have some 10,000."""
STANDARD_INPUT: Final = "-"
_CHUNK: Final = 64 * 1024
_WORD: Final = 16
"""Characters that a word or number at the end of what was read may lack."""
_BLANK: Final = " \t\n\r\ufeff"
_STEP: Final = 1_000
_SHOWN: Final = 12


class Verdict(StrEnum):
    """What came of a quote."""

    SAME = "same"
    DIFFERS = "differs"
    REFUSED = "refused"


class Kept(NamedTuple):
    """A quote, and the place that it was read from, such as ``quotes.jsonl:17``."""

    place: str
    quote: Quote


@dataclass(frozen=True)
class Replayed:
    """What came of one quote; ``why`` is empty where its price is the same."""

    place: str
    id: str
    model: str
    verdict: Verdict
    why: str = ""


@dataclass(frozen=True)
class Outcome:
    """What came of all quotes, in their order."""

    rows: tuple[Replayed, ...]

    def count(self, verdict: Verdict) -> int:
        """Return how many quotes have a verdict."""
        return sum(row.verdict is verdict for row in self.rows)

    @property
    def odd(self) -> list[Replayed]:
        """The quotes that differ or were refused."""
        return [row for row in self.rows if row.verdict is not Verdict.SAME]

    @property
    def by_model(self) -> dict[str, Counter[Verdict]]:
        """How many quotes of each model have which verdict."""
        found: dict[str, Counter[Verdict]] = {}
        for row in self.rows:
            found.setdefault(row.model, Counter())[row.verdict] += 1
        return found

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        counts = {verdict.value: self.count(verdict) for verdict in Verdict}
        return {"quotes": len(self.rows), **counts, "rows": [asdict(row) for row in self.rows]}


def read_quotes(sources: Sequence[str]) -> list[Kept]:
    """Read answers of ``POST /appraise``, one after another, from files or standard input.

    Raises
    ------
    InputError
        If a file cannot be read, or something in it is no such answer; the message names its place.
    """
    kept: list[Kept] = []
    for source in sources:
        before = len(kept)
        for place, content in _answers(source):
            if len(kept) == MOST_QUOTES:
                raise InputError(
                    f"{place}: more than {MOST_QUOTES:,} quotes; replay some at a time"
                )
            try:
                kept.append(Kept(place, Quote.read(content)))
            except NoQuoteError as error:
                raise InputError(f"{place}: {error}") from None
        if len(kept) == before:
            raise InputError(
                f"{_name(source)} holds no quote; keep answers of POST /appraise in it"
            )
    return kept


def replay(kept: Sequence[Kept], model_of: Callable[[str], Path], progress: Progress) -> Outcome:
    """Price quotes again; those whose id does not bear them out are refused.

    Parameters
    ----------
    model_of : returns the model folder of a digest, or raises an InputError.
    """
    rows: dict[int, Replayed] = {}
    by_model: dict[str, list[int]] = {}
    for number, (place, quote) in enumerate(kept):
        if quote.is_as_told:
            by_model.setdefault(quote.digest, []).append(number)
        else:
            why = "it was changed: its id is not of what it says"
            rows[number] = Replayed(place, quote.id, quote.digest, Verdict.REFUSED, why)
    for digest, numbers in by_model.items():
        progress(f"loading model {digest[:_SHOWN]}")
        model = _loaded(model_of(digest), digest)  # at once: the cache keeps a few models only
        for done, number in enumerate(numbers):
            if done % _STEP == 0:
                progress(f"{len(rows):,} of {len(kept):,} quotes")
            rows[number] = _replayed(*kept[number], model)
    return Outcome(tuple(rows[number] for number in range(len(kept))))


class ModelFolders:
    """Finds the model folder of a digest.

    Parameters
    ----------
    given : folders to take models from, and from nowhere else; empty for cache and registry.
    cache : model folders that were fetched before.
    registry : opens the registry, where the cache lacks a model; None if there is none yet.
    """

    def __init__(
        self, given: Iterable[Path], cache: Path, registry: Callable[[], Registry | None]
    ) -> None:
        self._given = {_digest_of(folder): folder for folder in given}
        self._cache, self._registry = cache, registry

    def __call__(self, digest: str) -> Path:
        """Return the folder; :class:`InputError` if the model is nowhere."""
        if self._given:
            if folder := self._given.get(digest):
                return folder
            others = ", ".join(f"{one[:_SHOWN]}…" for one in self._given)
            raise InputError(
                f"a quote is of the model {digest}, and --model names {others}; name its folder "
                "too, or leave --model out"
            )
        folder = self._cache / digest
        return folder if is_intact(folder, digest) else self._fetched(digest)

    def _fetched(self, digest: str) -> Path:
        nowhere = f"the model {digest} of a quote is not in {self._cache}"
        remedy = "name its folder with --model"
        try:
            registry = self._registry()
            versions = registry.with_digest(digest) if registry else []
            if registry is not None and versions:
                return registry.fetch(versions[0], self._cache)
        except CarpriceError as error:
            raise InputError(f"{nowhere}, and the registry gives none: {error}; {remedy}") from None
        where = "and there is no registry" if registry is None else "nor in the registry"
        raise InputError(f"{nowhere}, {where}; {remedy}")


def _digest_of(folder: Path) -> str:
    if not (folder / MANIFEST).is_file():
        raise InputError(f"--model {folder} is not a model folder: it has no {MANIFEST}")
    return folder_digest(folder)


def _loaded(folder: Path, digest: str) -> PriceModel:
    try:
        model = PriceModel.load(folder)
    except CorruptModelError as error:
        raise InputError(str(error)) from None
    if model.digest != digest:
        raise InputError(f"{folder} was changed while it was read; run this again")
    return model


def _replayed(place: str, quote: Quote, model: PriceModel) -> Replayed:
    try:
        why = "; ".join(quote.differences(model))
    except InputError as error:
        why = f"its model cannot price such a listing: {error}"
        return Replayed(place, quote.id, quote.digest, Verdict.REFUSED, why)
    verdict = Verdict.DIFFERS if why else Verdict.SAME
    return Replayed(place, quote.id, quote.digest, verdict, why)


class _NotJsonError(Exception):
    """What was read is no JSON."""


def _name(source: str) -> str:
    return "standard input" if source == STANDARD_INPUT else source


@contextmanager
def _opened(source: str) -> Iterator[BinaryIO]:
    if source == STANDARD_INPUT:
        yield sys.stdin.buffer
        return
    path = Path(source)
    if not path.exists():
        raise InputError(f"{source} does not exist; name a file of answers of POST /appraise")
    if path.is_dir():
        raise InputError(f"{source} is a folder; name the files in it")
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InputError(f"{source} cannot be read: {reason}") from None


class _NotYet(Exception):  # noqa: N818 - no error
    """What was read so far is no whole value."""


def _answers(source: str) -> Iterator[tuple[str, Any]]:
    """Yield the places and the values of answers that follow one another, however they are parted.

    Raises
    ------
    InputError
        Where a value is no JSON or too long; the message names its place.
    """
    name, text, line, is_all = _name(source), "", 1, False
    decode = codecs.getincrementaldecoder("utf-8")().decode
    with _opened(source) as file:
        while text or not is_all:
            rest = text.lstrip(_BLANK)
            line += text.count("\n", 0, len(text) - len(rest))
            place = f"{name}:{line}"
            try:
                value, end = _first_value(rest, is_all=is_all)
            except _NotYet:
                if len(rest) > LONGEST:
                    message = f"{place} has more than {LONGEST:,} bytes; no answer has"
                    raise InputError(message) from None
                more = file.read(max(_CHUNK, len(rest)))
                is_all = not more
                try:
                    text = rest + decode(more, final=is_all)
                except UnicodeDecodeError:
                    message = f"{place}: it is not UTF-8; keep answers as they are sent"
                    raise InputError(message) from None
                continue
            except _NotJsonError as error:
                raise InputError(f"{place}: {error}") from None
            yield place, value
            text = rest[end:]
            line += rest.count("\n", 0, end)


def _first_value(text: str, *, is_all: bool) -> tuple[Any, int]:
    """Return the first value of a text, and where it ends; _NotYet where more may follow."""
    try:
        if not text:
            raise _NotYet
        return _DECODER.raw_decode(text)
    except RecursionError:
        raise _NotJsonError("it is nested too deep for an answer of POST /appraise") from None
    except json.JSONDecodeError as error:
        if not is_all and (error.msg.startswith("Unterminated") or len(text) - error.pos < _WORD):
            raise _NotYet from None
        raise _not_json(error.msg) from None
    except ValueError as error:
        raise _not_json(str(error)) from None


def _not_json(why: str) -> _NotJsonError:
    return _NotJsonError(f"it is not JSON ({why}); keep answers as they are sent")


def _refuse_constant(constant: str) -> None:
    raise _NotJsonError(f"it is not JSON: {constant} is no number of JSON")


_DECODER: Final = json.JSONDecoder(parse_constant=_refuse_constant)
