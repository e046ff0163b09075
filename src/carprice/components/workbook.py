"""Write tables as an Excel workbook: a sheet each, quickly, and without formulas.

openpyxl takes several times as long, and a text that begins with an equals sign for a formula.
Here every text is an inline string, which no program calculates.
"""

import datetime
import math
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from xml.sax.saxutils import escape, quoteattr

import numpy as np
import pandas as pd

from carprice.errors import InputError

MOST_ROWS: Final = 1_048_575
"""Rows that a sheet holds below its header."""
_MOST_COLUMNS: Final = 16_384
_LONGEST: Final = 32_767
_CHUNK_ROWS: Final = 5_000
_NO_XML: Final = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_PLAIN: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,8})(?:\.[0-9]{0,8}[1-9])?")
_SHOWN: Final = ".15g"  # the digits that Excel keeps of a number
_FORMATS: Final = ("General", "#,##0", "0.000", "yyyy-mm-dd")
_STYLES: Final = {"money": 1, "ratio": 2, "date": 3}
_BOLD: Final = len(_FORMATS)
_EQUAL_KINDS: Final = frozenset((bool, int, float))
"""1, 1.0 and True are equal, and so are their hashes."""
_HASHABLE: Final = frozenset(
    (*_EQUAL_KINDS, str, type(None), type(pd.NA), type(pd.NaT), datetime.date, pd.Timestamp)
)
_EPOCH: Final = datetime.date(1899, 12, 30)
_HEAD: Final = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_MAIN: Final = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE: Final = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE: Final = "http://schemas.openxmlformats.org/package/2006"
_KIND: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml"


def write_workbook(
    path: Path, sheets: Mapping[str, pd.DataFrame], formats: Mapping[str, str]
) -> None:
    """Write tables by the names of their sheets; the first row is bold and stays in view.

    Texts that are plain numbers of nine digits at most become numbers, where no character is lost:
    1.10 stays a text.

    Parameters
    ----------
    formats : how the numbers of a column are shown, by its name: ``money``, ``ratio`` or ``date``.

    Raises
    ------
    InputError
        If a table has more rows or columns than a sheet holds.
    """
    for table in sheets.values():
        if len(table) > MOST_ROWS or len(table.columns) > _MOST_COLUMNS:
            raise InputError(
                f"{path.name}: {len(table):,} rows of {len(table.columns):,} columns are more than "
                f"a sheet holds ({MOST_ROWS:,} and {_MOST_COLUMNS:,}); write .csv or .parquet"
            )
    parts = {
        "[Content_Types].xml": _content_types(len(sheets)),
        "_rels/.rels": _relations([("officeDocument", "xl/workbook.xml")]),
        "xl/workbook.xml": _workbook([*sheets]),
        "xl/_rels/workbook.xml.rels": _relations(
            [
                *(("worksheet", f"worksheets/sheet{number}.xml") for number in _numbers(sheets)),
                ("styles", "styles.xml"),
            ]
        ),
        "xl/styles.xml": _styles(),
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, text in parts.items():
            archive.writestr(name, _HEAD + text)
        for number, table in zip(_numbers(sheets), sheets.values(), strict=True):
            name = f"xl/worksheets/sheet{number}.xml"  # a ZipInfo would have a level of its own
            with archive.open(name, "w", force_zip64=True) as sheet:
                for text in _sheet(table, formats):
                    sheet.write(text.encode())


def _numbers(sheets: Mapping[str, pd.DataFrame]) -> range:
    return range(1, len(sheets) + 1)


def _sheet(table: pd.DataFrame, formats: Mapping[str, str]) -> Iterator[str]:
    """Yield the XML of a sheet, some thousand rows at a time."""
    letters = [_letters(place) for place in range(len(table.columns))]
    names = [*map(str, table.columns)]
    widths = "".join(
        f'<col min="{place}" max="{place}" width="{min(max(len(name) + 3, 10), 40)}" '
        'customWidth="1"/>'
        for place, name in enumerate(names, start=1)
    )
    header = "".join(
        f'<c r="{letter}1" s="{_BOLD}"{_text(name)}</c>'
        for letter, name in zip(letters, names, strict=True)
    )
    yield (
        f'{_HEAD}<worksheet xmlns="{_MAIN}"><sheetViews><sheetView workbookViewId="0">'
        '<pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" state="frozen"/></sheetView>'
        f"</sheetViews><cols>{widths}</cols><sheetData>"
        f'<row r="1">{header}</row>'
    )
    styles = [_STYLES.get(formats.get(name, ""), 0) for name in names]
    for start in range(0, len(table), _CHUNK_ROWS):
        some = table.iloc[start : start + _CHUNK_ROWS]
        rows = [*map(str, range(start + 2, start + 2 + len(some)))]
        columns = [
            _column(some.iloc[:, place], f'<c r="{letter}', rows, styles[place])
            for place, letter in enumerate(letters)
        ]
        yield "".join(
            f'<row r="{row}">{"".join(cells)}</row>'
            for row, cells in zip(rows, zip(*columns, strict=True), strict=True)
        )
    last = f"{letters[-1]}{len(table) + 1}"
    yield f'</sheetData><autoFilter ref="A1:{last}"/></worksheet>'


def _column(values: pd.Series, head: str, rows: Sequence[str], style: int) -> list[str]:
    """Return the XML of a column's cells; equal values are looked at once.

    Parameters
    ----------
    head : what each cell begins with, up to the number of its row.
    """
    own = values.tolist()
    kinds = {*map(type, own)}
    if len(kinds & _EQUAL_KINDS) > 1 or not kinds <= _HASHABLE:
        tails = [_tail(value, style) for value in own]
    else:
        tail_of = {value: _tail(value, style) for value in dict.fromkeys(own)}
        tails = [tail_of[value] for value in own]
    pairs = zip(rows, tails, strict=True)
    return [f"{head}{row}{tail}" if tail else "" for row, tail in pairs]


def _tail(value: Any, style: int) -> str:
    """Return the XML of a cell after the number of its row; nothing where it is empty."""
    content = _content(value)
    if content is None:
        return ""
    text, own_style = content
    styled = own_style or style
    return f'" s="{styled}"{text}</c>' if styled else f'"{text}</c>'


def _content(value: Any) -> tuple[str, int] | None:
    """Return the inner XML of a value with its type, and a style of its own; None if it is empty.

    Examples
    --------
    >>> _content("2019")[0], _content("007")[0], _content(float("nan"))
    ('><v>2019</v>', ' t="inlineStr"><is><t>007</t></is>', None)
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool):
        return _text("yes" if value else "no"), 0
    if isinstance(value, int | float):
        return (f"><v>{value!r}</v>", 0) if math.isfinite(value) else None
    if value is None or value is pd.NaT or value is pd.NA:
        return None
    if isinstance(value, datetime.date):
        return _date(value)
    text = str(value)
    if not text:
        return None
    return (f"><v>{text}</v>" if _is_number(text) else _text(text)), 0


def _is_number(text: str) -> bool:
    """Whether a sheet shows the number that a text is as the text.

    Examples
    --------
    >>> [_is_number(text) for text in ("2019", "-1.5", "1.10", "007", "-0", "0.0000001")]
    [True, True, False, False, False, False]
    """
    is_plain = _PLAIN.fullmatch(text) is not None
    return is_plain and text != "-0" and format(float(text), _SHOWN) == text


def _date(value: datetime.date) -> tuple[str, int]:
    is_time = isinstance(value, datetime.datetime) and value.time() != datetime.time()
    if is_time or value.year < 1901:
        return _text(value.isoformat()), 0
    day = value.date() if isinstance(value, datetime.datetime) else value
    return f"><v>{(day - _EPOCH).days}</v>", _STYLES["date"]


def _text(text: str) -> str:
    shown = escape(_NO_XML.sub("", text)[:_LONGEST])
    space = "" if shown == shown.strip() else ' xml:space="preserve"'
    return f' t="inlineStr"><is><t{space}>{shown}</t></is>'


def _letters(place: int) -> str:
    """Return the letters of a column, counted from 0.

    Examples
    --------
    >>> [_letters(place) for place in (0, 25, 26, 701, 702)]
    ['A', 'Z', 'AA', 'ZZ', 'AAA']
    """
    letters = ""
    place += 1
    while place:
        place, digit = divmod(place - 1, 26)
        letters = chr(ord("A") + digit) + letters
    return letters


def _content_types(sheets: int) -> str:
    kinds = {
        "workbook.xml": f"{_KIND}.sheet.main+xml",
        "styles.xml": f"{_KIND}.styles+xml",
        **{
            f"worksheets/sheet{number}.xml": f"{_KIND}.worksheet+xml"
            for number in range(1, sheets + 1)
        },
    }
    overrides = "".join(
        f'<Override PartName="/xl/{name}" ContentType="{kind}"/>' for name, kind in kinds.items()
    )
    return (
        f'<Types xmlns="{_PACKAGE}/content-types">'
        '<Default Extension="rels" '
        'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f"{overrides}</Types>"
    )


def _relations(targets: list[tuple[str, str]]) -> str:
    inner = "".join(
        f'<Relationship Id="rId{number}" Type="{_OFFICE}/{kind}" Target="{target}"/>'
        for number, (kind, target) in enumerate(targets, start=1)
    )
    return f'<Relationships xmlns="{_PACKAGE}/relationships">{inner}</Relationships>'


def _workbook(names: list[str]) -> str:
    sheets = "".join(
        f'<sheet name={quoteattr(name)} sheetId="{number}" r:id="rId{number}"/>'
        for number, name in enumerate(names, start=1)
    )
    return f'<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}"><sheets>{sheets}</sheets></workbook>'


def _styles() -> str:
    codes = "".join(
        f'<numFmt numFmtId="{164 + place}" formatCode="{code}"/>'
        for place, code in enumerate(_FORMATS)
        if place
    )
    plain = "".join(
        f'<xf numFmtId="{164 + place if place else 0}" fontId="0" fillId="0" borderId="0" '
        f'xfId="0"{" applyNumberFormat=" + chr(34) + "1" + chr(34) if place else ""}/>'
        for place in range(len(_FORMATS))
    )
    bold = '<xf numFmtId="0" fontId="1" fillId="0" borderId="0" xfId="0" applyFont="1"/>'
    font = '<sz val="11"/><name val="Calibri"/>'
    return (
        f'<styleSheet xmlns="{_MAIN}"><numFmts count="{len(_FORMATS) - 1}">{codes}</numFmts>'
        f'<fonts count="2"><font>{font}</font><font><b/>{font}</font></fonts>'
        '<fills count="2"><fill><patternFill patternType="none"/></fill>'
        '<fill><patternFill patternType="gray125"/></fill></fills>'
        '<borders count="1"><border><left/><right/><top/><bottom/><diagonal/></border></borders>'
        '<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/>'
        f'</cellStyleXfs><cellXfs count="{len(_FORMATS) + 1}">{plain}{bold}</cellXfs>'
        '<cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles>'
        "</styleSheet>"
    )
