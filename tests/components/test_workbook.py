import datetime
import zipfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import openpyxl
import pandas as pd
import pytest

from carprice.components import workbook
from carprice.components.workbook import write_workbook
from carprice.errors import InputError

DAY = datetime.date(2025, 6, 30)
CASES: dict[str, tuple[Any, Any]] = {
    "text": ("Maruti", "Maruti"),
    "other letters": ("Škoda 斯柯达 🚗", "Škoda 斯柯达 🚗"),
    "markup": ('<b> & "c" ]]> \'', '<b> & "c" ]]> \''),
    "formula": ("=1+1", "=1+1"),
    "command": ("=cmd|'/c calc'!A1", "=cmd|'/c calc'!A1"),
    "signs that no XML holds": ("a\x00\x0b\ud800\uffffb", "ab"),
    "line breaks and spaces": (" a\n\tb ", " a\n\tb "),
    "plain number": ("2019", 2019),
    "negative": ("-12.5", -12.5),
    "a trim or a stock number": ("1.10", "1.10"),
    "nothing behind the point": ("2.0", "2.0"),
    "less than nothing": ("-0", "-0"),
    "small": ("0.00001", "0.00001"),
    "more digits than a sheet keeps": ("123456789.123456789", "123456789.123456789"),
    "many digits": ("52.520008", 52.520008),
    "zeros before": ("0049", "0049"),
    "a long number, such as of a telephone": ("4915112345678", "4915112345678"),
    "exponent": ("1e5", "1e5"),
    "integer": (7, 7),
    "number": (0.1, 0.1),
    "numpy": (np.float64(2.5), 2.5),
    "no number": (np.nan, None),
    "infinite": (np.inf, None),
    "none": (None, None),
    "no time": (pd.NaT, None),
    "nothing": (pd.NA, None),
    "empty": ("", None),
    "flag": (True, "yes"),
    "date": (DAY, datetime.datetime(2025, 6, 30)),
    "midnight": (pd.Timestamp("2025-06-30"), datetime.datetime(2025, 6, 30)),
    "time": (pd.Timestamp("2025-06-30 12:30"), "2025-06-30T12:30:00"),
    "old date": (datetime.date(1899, 1, 1), "1899-01-01"),
    "list": (["a", "b"], "['a', 'b']"),
}


def written(tmp_path: Path, **sheets: pd.DataFrame) -> openpyxl.Workbook:
    path = tmp_path / "out.xlsx"
    write_workbook(path, sheets, {"price": "money", "ratio": "ratio"})
    return openpyxl.load_workbook(path)


def test_every_kind_of_value_comes_back_as_what_it_is_and_none_is_a_formula(tmp_path: Path) -> None:
    values = pd.Series([value for value, _ in CASES.values()], dtype=object)
    sheet = written(tmp_path, stock=pd.DataFrame({"=x": values, "none": None}))["stock"]
    rows = [*sheet.iter_rows()]
    assert rows[0][0].value == "=x"
    assert {cell.data_type for row in rows for cell in row} <= {"s", "n", "d", "inlineStr"}
    found = {name: row[0].value for name, row in zip(CASES, rows[1:], strict=True)}
    assert found == {name: expected for name, (_, expected) in CASES.items()}


def test_sheets_stand_in_order_with_their_formats_and_a_header_that_stays(tmp_path: Path) -> None:
    table = pd.DataFrame({"price": [1234.5], "ratio": [0.98765], "day": [DAY]})
    book = written(tmp_path, stock=table, **{"a & b": table.iloc[:0]})
    assert book.sheetnames == ["stock", "a & b"]
    stock = book["stock"]
    assert [cell.number_format for cell in stock[2]] == ["#,##0", "0.000", "yyyy-mm-dd"]
    assert all(cell.font.b for cell in stock[1])
    assert stock.freeze_panes == "A2"
    assert stock.auto_filter.ref == "A1:C2"
    assert [cell.value for cell in book["a & b"][1]] == ["price", "ratio", "day"]
    assert book["a & b"].max_row == 1


def test_many_rows_are_written_as_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbook, "_CHUNK_ROWS", 3)
    table = pd.DataFrame({"a": range(10), "b": [*"abcdefghij"]})
    rows = [[cell.value for cell in row] for row in written(tmp_path, stock=table)["stock"]]
    assert rows == [["a", "b"], *([number, "abcdefghij"[number]] for number in range(10))]


def test_every_part_is_xml_and_named_in_the_content_types(tmp_path: Path) -> None:
    written(tmp_path, one=pd.DataFrame({"a": ["<"]}), two=pd.DataFrame({"b": [1]}))
    with zipfile.ZipFile(tmp_path / "out.xlsx") as archive:
        names = archive.namelist()
        for name in names:
            ElementTree.fromstring(archive.read(name))  # noqa: S314
        types = archive.read("[Content_Types].xml").decode()
    parts = {name for name in names if name.startswith("xl/") and not name.endswith(".rels")}
    assert all(f'"/{name}"' in types for name in parts)


def test_more_than_a_sheet_holds_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workbook, "MOST_ROWS", 2)
    with pytest.raises(InputError, match=r"out.xlsx: 3 rows of 1 columns .*; write .csv or"):
        written(tmp_path, stock=pd.DataFrame({"a": [1, 2, 3]}))
