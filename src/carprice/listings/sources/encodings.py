"""Guess how a text file is encoded, so that no wrong encoding makes other letters of its own."""

import codecs
import contextlib
import unicodedata
from collections.abc import Callable, Iterable
from typing import IO, Final

from charset_normalizer import CharsetMatch, from_bytes

from carprice.errors import InputError, LayoutError

_USUAL: Final = (
    *("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258"),
    *("gb18030", "big5", "cp932", "euc_jp", "cp949", "koi8_r", "iso8859_2", "iso8859_15"),
    *("cp850", "cp852", "cp866", "mac_roman", "mac_cyrillic", "cp874", "utf_16", "utf_8"),
)
"""What spreadsheets and databases write; of two that read the same the first is named."""
_LINES, _BYTES = 400, 10_000_000
_GUESSES: Final = 3
_MUCH_CHAOS: Final = 0.1
_LONGEST_WORD: Final = 30
_CHUNK: Final = 65536


def undecodable(stream: IO[bytes], label: str, encoding: str) -> InputError:
    """Return the error of a file whose bytes are not of an encoding, with those that they may be.

    Parameters
    ----------
    stream : the whole file, from its start.
    """
    if stream.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return LayoutError(
            f"{label} is not {encoding} text but utf-16; set ingest.encoding: utf-16",
            {"encoding": "utf-16"},
        )
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
    if not from_bytes(text, cp_isolation=[name], enable_fallback=False):
        guesses = _guesses(text)
        if guesses and encoding not in guesses:
            raise _error(f"{label} makes no words in {encoding} ({_word(text, encoding)})", lines)


def _error(start: str, lines: list[bytes]) -> InputError:
    """Return the error of lines that are in another encoding, and which it may be."""
    text = b"".join(lines)
    found = _guesses(text) if lines else []
    if not found:
        return InputError(f"{start}; export it again as UTF-8")
    telling = max(_words(text), key=lambda word: len({_read(word, name) for name in found}))
    guesses: dict[str, str] = {}
    for name in found:
        told = _read(telling, name)
        guesses.setdefault(told, f"{name} ({_script(telling.decode(name, 'replace'))} {told})")
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
    matches: list[CharsetMatch] = list(
        from_bytes(text, cp_isolation=[*_USUAL], enable_fallback=False)
    )
    found: list[str] = [
        next(name for name in _USUAL if name in match.could_be_from_charset)
        for match in sorted(matches, key=lambda one: one.chaos > _MUCH_CHAOS)
    ]
    return list(dict.fromkeys(found))[:_GUESSES]


def _script(word: str) -> str:
    """Return the script of a word's first letter that is not of ASCII, such as Cyrillic."""
    letter = next((one for one in word if one.isalpha() and not one.isascii()), "a")
    script = unicodedata.name(letter, "unknown").partition(" ")[0]
    return script if script == "CJK" else script.title()


def _words(text: bytes) -> list[bytes]:
    words = text.replace(b";", b" ").replace(b",", b" ").replace(b"\t", b" ").split()
    return [word for word in words if not word.isascii()]


def _read(word: bytes, encoding: str) -> str:
    return repr(word.decode(encoding, "replace")[:_LONGEST_WORD])


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
    except UnicodeDecodeError as error:
        return error.start
    return 0


def _is_utf8(encoding: str) -> bool:
    return codecs.lookup(encoding).name in ("utf-8", "utf-8-sig")
