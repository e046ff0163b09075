"""Parse the text of a variant: its words, gearbox, drive, displacement and trim."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final


@dataclass(frozen=True)
class ParsedVariant:
    """What the text of a variant says; empty, or NaN litres, where it says nothing.

    Attributes
    ----------
    tokens : its words, in capitals.
    gear, drive : such as ``AMT`` and ``4WD``.
    litres : of displacement.
    trim : the first word that is no gearbox, drive, fuel, engine or filler.
    """

    tokens: tuple[str, ...]
    gear: str = ""
    drive: str = ""
    litres: float = float("nan")
    trim: str = ""

    @property
    def text(self) -> str:
        """The same text for all spellings of a variant."""
        return " ".join(self.tokens)


def _words(*lines: str) -> frozenset[str]:
    return frozenset(word for line in lines for word in line.split())


_GEARS: Final = _words(
    "AMT CVT DCT DSG IMT IVT AGS DCA ECVT AT MT TCT EDC DDCT TIPTRONIC STRONIC",
    "4AT 5AT 6AT 7AT 8AT 5MT 6MT",
)
_DRIVES: Final = _words("4X4 4WD AWD 4MATIC QUATTRO XDRIVE 4X2 2WD FWD RWD")
_FUELS: Final = _words(
    "PETROL DIESEL CNG LPG ELECTRIC EV HYBRID CRDI TDI TDCI TSI TFSI MPI GDI DDIS DTEC VTEC IVTEC",
    "VTVT MULTIJET REVOTRON REVOTORQ MHAWK KAPPA DUALJET VVT IDTEC",
)
_FILLERS: Final = _words(
    "BS BSIV BSIII BSVI BS4 BS3 BS6 II III IV VI OPT PLUS STR SEATER WITH AND DUAL TONE EDITION",
    "NEW LIMITED TURBO",
)
_DESCRIBED: Final = _GEARS | _DRIVES | _FUELS | _FILLERS
_SPELLINGS: Final = (
    (re.compile(r"\(\s*O\s*\)"), " OPT "),
    (re.compile(r"\+"), " PLUS "),
    (re.compile(r"[^\w.]+|_"), " "),
    (re.compile(r"(?<!\d)\.|\.(?!\d)"), " "),
    (re.compile(r"(\d\.\d)\s*(?:LITRES?|LITERS?|LTR|L)\b"), r"\1 "),
    (re.compile(r"([A-Z])(\d\.\d)"), r"\1 \2"),
    (re.compile(r"(\d\.\d)([A-Z])"), r"\1 \2"),
    (re.compile(r"\bI VTEC\b"), "IVTEC"),
    (re.compile(r"\b4 MATIC\b"), "4MATIC"),
    (re.compile(r"\b([42]) ?(WD|X) ?([42]?)\b"), r"\1\2\3"),
    (re.compile(r"\bE CVT\b"), "ECVT"),
    (re.compile(r"\bS TRONIC\b"), "STRONIC"),
)
_ENGINE = re.compile(r"\d\.\d")


@lru_cache(maxsize=20_000)
def parse_variant(text: str) -> ParsedVariant:
    """Parse the text of a variant; all spellings of a variant give the same result.

    Examples
    --------
    >>> parse_variant("Titanium1.5L  TDCi (O)").tokens
    ('TITANIUM', '1.5', 'TDCI', 'OPT')
    >>> parsed = parse_variant("SX+ 1.0 litre DCT 4 WD")
    >>> parsed.trim, parsed.gear, parsed.drive, parsed.litres
    ('SX', 'DCT', '4WD', 1.0)
    """
    spelling = text.upper()
    for pattern, replacement in _SPELLINGS:
        spelling = pattern.sub(replacement, spelling)
    tokens = tuple(spelling.split())
    return ParsedVariant(
        tokens,
        gear=next((token for token in tokens if token in _GEARS), ""),
        drive=next((token for token in tokens if token in _DRIVES), ""),
        litres=next((float(token) for token in tokens if _ENGINE.fullmatch(token)), float("nan")),
        trim=next(
            (token for token in tokens if token not in _DESCRIBED and not token[0].isdigit()), ""
        ),
    )


def variant_of(value: Any) -> ParsedVariant:
    """Parse the text of a variant; a missing one says nothing."""
    return parse_variant(value if isinstance(value, str) else "")
