"""Guess how a text file is encoded, so that no wrong encoding makes other letters of its own."""

import codecs
import contextlib
import unicodedata
from collections.abc import Callable, Iterable
from typing import IO, Final

from charset_normalizer import CharsetMatch, from_bytes

from carprice.errors import InputError, LayoutError
from carprice.listings.sources.alphabets import ENCODINGS, Fit, fit

_USUAL: Final = (
    *("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258"),
    *("gb18030", "big5", "cp932", "euc_jp", "cp949", "koi8_r", "koi8_u", "iso8859_5"),
    *("iso8859_2", "iso8859_15", "cp850", "cp852", "cp866", "mac_roman", "mac_cyrillic", "cp874"),
    *("utf_16", "utf_8"),
)
"""What spreadsheets and databases write; of two that read the same the first is named."""
_LINES, _BYTES = 400, 10_000_000
_GUESSES: Final = 3
_MUCH_CHAOS: Final = 0.1
_LONGEST_WORD: Final = 30
_CHUNK: Final = 65536
_START: Final = 4096
_LEAST_FIT, _SURE_FIT, _MOST_APART = 0.9, 0.97, 0.1
"""Shares of words: of a language at all, of it for sure, and of two readings that are as good."""
_MOST_WORDS_SHOWN, _SHORTEST_SHOWN = 3, 3
_BOMS: Final = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_MOST_ZEROS: Final = 0.2


def undecodable(stream: IO[bytes], label: str, encoding: str) -> InputError:
    """Return the error of a file whose bytes are not of an encoding, with those that they may be.

    Parameters
    ----------
    stream : the whole file, from its start.
    """
    if wide := _wide_encoding(stream.read(_START), encoding):
        return _is_wide(label, encoding, wide)
    stream.seek(0)
    if not _is_utf8(encoding) and _decodes(b"".join(_lines(stream)), "utf-8"):
        return InputError(f"{label} is not {encoding} text but UTF-8; remove ingest.encoding")
    stream.seek(0)
    fits, fails = _sorted_lines(stream, lambda line: _decodes(line, encoding))
    where = f"{label} is not {encoding} text"
    if fails:
        number, line = fails[0]
        where += f" (byte {line[_first_wrong(line, encoding)]:#04x}) in line {number}"
    if fits and fails and _is_utf8(encoding):
        return InputError(
            f"{where}, though {len(fits)} other lines with such letters are: it mixes encodings; "
            "export it again as UTF-8"
        )
    return _error(where, [line for _, line in fails])


def refuse_mojibake(stream: IO[bytes], label: str, encoding: str) -> None:
    """Raise an InputError if a file can be read in an encoding, but makes no words in it.

    Parameters
    ----------
    stream : the whole file, from its start.
    """
    name = codecs.lookup(encoding).name
    if wide := _wide_encoding(stream.read(_START), encoding):
        raise _is_wide(label, encoding, wide)
    stream.seek(0)
    if name.startswith("utf"):
        return
    _, odd = _sorted_lines(stream, bytes.isascii)
    lines = [line for _, line in odd]
    if not lines:
        return
    text = b"".join(lines)
    if _decodes(text, "utf-8"):
        raise InputError(
            f"{label} is UTF-8 text ({_word(text, 'utf-8')}), which reads as "
            f"{_word(text, encoding)} in {encoding}; remove ingest.encoding"
        )
    if not _makes_words(text, name):
        guesses = _guesses(text)
        if guesses and not {encoding, name.replace("-", "_")} & {*guesses}:
            raise _error(f"{label} makes no words in {encoding} ({_odd_word(text, name)})", lines)


def _makes_words(text: bytes, encoding: str) -> bool:
    """Whether a text makes words in an encoding, or no others do better."""
    best = max(_latin_fits(text).values(), key=_goodness, default=None)
    if best and best.words:
        here = _fit(text, encoding)
        is_worse = here.words > 2 and here.share < best.share - _MOST_APART
        is_odd = here.impossible > 0 and best.impossible == 0
        return not (best.share >= _SURE_FIT and (is_worse or is_odd))
    return bool(from_bytes(text, cp_isolation=[encoding], enable_fallback=False))


def _latin_fits(text: bytes) -> dict[str, Fit]:
    """Return the encodings in which a text is of one language in Latin letters, with the fit."""
    names = (name for name in ENCODINGS if _decodes(text, name))
    fits = {name: _fit(text, name) for name in names}
    return {name: one for name, one in fits.items() if one.share >= _LEAST_FIT}


def _fit(text: bytes, encoding: str) -> Fit:
    return fit(word.decode(encoding, "replace") for word in {*_words(text)})


def _goodness(one: Fit) -> tuple[float, int]:
    return one.share, -one.impossible


def _wide_encoding(start: bytes, encoding: str) -> str:
    """Return the encoding of a text in two or four bytes a letter, if it is not the one given."""
    given = codecs.lookup(encoding).name
    for bom, name in _BOMS.items():
        if start.startswith(bom):
            return "" if given.startswith(name) else name
    pairs = len(start) // 2
    for name, zeros in (("utf-16-le", start[1::2]), ("utf-16-be", start[::2])):
        if zeros.count(0) > max(2 * _MOST_ZEROS * pairs, start.count(0) / 2):
            return "" if given == name else name
    return ""


def _is_wide(label: str, encoding: str, wide: str) -> LayoutError:
    return LayoutError(
        f"{label} is not {encoding} text but {wide}; set ingest.encoding: {wide}",
        {"encoding": wide},
    )


def _error(start: str, lines: list[bytes]) -> InputError:
    """Return the error of lines that are in another encoding, and which it may be."""
    text = b"".join(lines)
    found = _guesses(text) if lines else []
    if not found:
        return InputError(f"{start}; export it again as UTF-8")
    telling = _telling(_words(text), found)
    guesses: dict[tuple[str, ...], str] = {}
    for name in found:
        told = tuple(_read(word, name) for word in telling)
        script = _script(telling[0].decode(name, "replace"))
        guesses.setdefault(told, f"{name} ({script} {', '.join(told)})")
    *others, last = guesses.values()
    remedies = [{"encoding": name} for name in found]
    if not others:
        remedy = f"it looks like {last}; set ingest.encoding: {found[0]}"
        return LayoutError(f"{start}; {remedy}", *remedies)
    return LayoutError(
        f"{start}; it looks like {', '.join(others)} or {last}; set ingest.encoding to the one "
        "whose word is right",
        *remedies,
    )


def _guesses(text: bytes) -> list[str]:
    """Return the likely encodings, best first, by how well a language's letters fit."""
    if latin := _latin_fits(text):
        best = max(latin.values(), key=_goodness)
        likely = [n for n, one in latin.items() if one.share > best.share - _MOST_APART / 2]
        readings: dict[str, str] = {}
        for name in sorted(likely, key=lambda name: (-latin[name].share, latin[name].impossible)):
            readings.setdefault(text.decode(name), name)
        return [*readings.values()][:_GUESSES]
    matches: list[CharsetMatch] = list(
        from_bytes(text, cp_isolation=[*_USUAL], enable_fallback=False)
    )
    found: list[str] = [
        next(name for name in _USUAL if name in match.could_be_from_charset)
        for match in sorted(matches, key=lambda one: one.chaos > _MUCH_CHAOS)
    ]
    return list(dict.fromkeys(found))[:_GUESSES]


def _telling(words: list[bytes], encodings: list[str]) -> list[bytes]:
    """Return a few words that encodings read in different ways, so that a person can choose."""
    told: list[bytes] = []
    readings: dict[bytes, tuple[str, ...]] = {
        word: tuple(_read(word, name) for name in encodings) for word in dict.fromkeys(words)
    }
    while len(told) < _MOST_WORDS_SHOWN:

        def apart(word: bytes) -> int:
            return len({*zip(*(readings[one] for one in (*told, word)), strict=True)})

        best = max(readings, key=lambda word: (apart(word), len(word) >= _SHORTEST_SHOWN))
        if told and apart(best) == len({*zip(*(readings[one] for one in told), strict=True)}):
            break
        told.append(best)
        if apart(best) == len(encodings):
            break
    return told


def _script(word: str) -> str:
    """Return the script of a word's first letter that is not of ASCII, such as Cyrillic."""
    letter = next((one for one in word.strip("ªº") if one.isalpha() and not one.isascii()), "a")
    script = unicodedata.name(letter, "unknown").partition(" ")[0]
    return script if script == "CJK" else script.title()


def _words(text: bytes) -> list[bytes]:
    words = text.replace(b";", b" ").replace(b",", b" ").replace(b"\t", b" ").split()
    return [word for word in words if not word.isascii()]


def _read(word: bytes, encoding: str) -> str:
    return repr(word.decode(encoding, "replace")[:_LONGEST_WORD])


def _odd_word(text: bytes, encoding: str) -> str:
    """Return the first word that no language writes as an encoding reads it, or the first."""
    words = _words(text)
    odd = (word for word in words if fit([word.decode(encoding, "replace")]).impossible)
    return _read(next(odd, words[0]), encoding)


def _word(text: bytes, encoding: str) -> str:
    """Return the first word that is not all ASCII, as an encoding reads it."""
    return _read(next(iter(_words(text)), b""), encoding)


def _sorted_lines(
    stream: IO[bytes], is_first: Callable[[bytes], bool]
) -> tuple[list[tuple[int, bytes]], list[tuple[int, bytes]]]:
    """Return the lines with other letters than ASCII's, numbered from 1, of two kinds."""
    kinds: tuple[list[tuple[int, bytes]], list[tuple[int, bytes]]] = ([], [])
    for number, line in enumerate(_lines(stream), start=1):
        kind = kinds[0] if is_first(line) else kinds[1]
        if not line.isascii() and len(kind) < _LINES:
            kind.append((number, line))
        if len(kinds[1]) == _LINES:
            break
    return kinds


def _lines(stream: IO[bytes]) -> Iterable[bytes]:
    size = 0
    while line := stream.readline(_CHUNK):
        size += len(line)
        yield line
        if size > _BYTES:
            return


def _decodes(text: bytes, encoding: str) -> bool:
    with contextlib.suppress(UnicodeError):
        text.decode(encoding)
        return True
    return False


def _first_wrong(line: bytes, encoding: str) -> int:
    try:
        line.decode(encoding)
    except UnicodeError as error:  # some codecs do not say where
        return getattr(error, "start", 0)
    return 0


def _is_utf8(encoding: str) -> bool:
    return codecs.lookup(encoding).name in ("utf-8", "utf-8-sig")
