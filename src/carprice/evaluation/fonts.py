"""Fonts for names in any script: pictures draw what an installed font has, and number the rest."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

from matplotlib import font_manager

PLAIN: Final = "DejaVu Sans"
"""The font that comes with Matplotlib: Latin, Greek, Cyrillic and more, but no Chinese."""


def families_for(texts: Iterable[str]) -> list[str]:
    """Return the families to draw texts with: the plain one, and installed ones that add to it."""
    families, missing = [PLAIN], {*"".join(texts)} - _signs_of(PLAIN)
    for family in _installed():
        if not missing:
            break
        if found := missing & _signs_of(family):
            families.append(family)
            missing -= found
    return families


def drawable(text: str, instead: str, families: Sequence[str] = (PLAIN,)) -> str:
    """Return a text, or another where the fonts lack one of its letters.

    Examples
    --------
    >>> drawable("Škoda", "make 1"), drawable("大众", "make 2")
    ('Škoda', 'make 2')
    """
    return text if {*text} <= frozenset().union(*map(_signs_of, families)) else instead


def _installed() -> list[str]:
    """Return the families of upright fonts of usual weight, those for many scripts first."""
    names = {
        font.name
        for font in font_manager.fontManager.ttflist
        if font.style == "normal" and font.weight in (400, "normal", "regular")
    }
    return sorted(names - {PLAIN}, key=lambda name: (not name.startswith("Noto Sans"), name))


@lru_cache(maxsize=1024)
def _signs_of(family: str) -> frozenset[str]:
    """Return the letters and signs that a family has; none if its font cannot be read."""
    try:
        path = font_manager.findfont(family, fallback_to_default=False)
        return frozenset(map(chr, font_manager.get_font(path).get_charmap()))
    except (OSError, RuntimeError, ValueError):
        return frozenset()
