"""Files whose header, sheet or encoding is not where a program looks for it."""

import io
import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from odd_files import CARS, HEADER, MODELS, OddFile, changed, check, check_map, read, text, workbook

NAMES = ", ".join(HEADER)
BY_NUMBER = {"columns": {name: f"column {n}" for n, name in enumerate(HEADER, start=1)}}
CYRILLIC = dict(zip(dict(MODELS), ("Лада", "Москвич", "Волга", "Нива"), strict=True))
RUSSIAN = text(changed("make", CYRILLIC.__getitem__))
CZECH = text([*CARS[1:], ("Škoda", "Kodiaq pro řidiče", 2019, 4, 600_000)])
TURKISH_WORDS = ("çekiş", "değişen", "İstanbul", "sıfır")
FRENCH_WORDS = ("très bon", "première", "état", "révisé")
TURKISH = text([(*c[:1], TURKISH_WORDS[n % 4], *c[2:]) for n, c in enumerate(CARS)])
FRENCH = text([(*c[:1], FRENCH_WORDS[n % 4], *c[2:]) for n, c in enumerate(CARS)])
AS_OBJECTS = [dict(zip(HEADER, car, strict=True)) for car in CARS]
SKODAS = changed("make", lambda _: "Škoda")
EUROS = {"currency": "EUR"}
KOREAN = text(changed("make", lambda _: "현대자동차"))
TITLE = [("Our cars",), (), HEADER, *CARS]
GROUPS = [("Car", None, None, "Offer", None), HEADER, *CARS]
SPREAD = [
    ("make", "model", "year", "Numbers", None),
    (None, None, None, "odometer", "price"),
    *CARS,
]
TWICE = ("make", "model", "year", "price", "price")

DATED = (*HEADER, "listedOn")
DAYS = [(*car, 45_300 + n) for n, car in enumerate(CARS)]
EXCEL_DAYS = (
    "{file}: listedOn is '45300' in row 0, and cannot be read in 100 % of the rows; "
    "write listedOn: {{from: listedOn, date: excel}} in ingest.columns"
)
BY_DAY = {"columns": {"listedOn": {"from": "listedOn", "date": "excel"}}}
IN_ISO = [(*car, f"2024-05-{1 + n % 28:02}") for n, car in enumerate(CARS)]
TWO_FORMATS = [*IN_ISO[:-1], (*CARS[-1], "05/01/2024")]
DOTTED = [(*car, f"{1 + n % 28}.1.24.") for n, car in enumerate(CARS)]

NOTED = (*HEADER, "notes")
CLEAN = text([(*car, "Edition 30") for car in CARS], NOTED)


def quoted(*lines: int, cell: str = "Edition 30") -> str:
    """Return the cars with a quote before a cell of some lines, and none behind it."""
    rows = CLEAN.splitlines(keepends=True)
    return "".join(
        row.replace(cell, f'"{cell}') if line in lines else row for line, row in enumerate(rows, 1)
    )


def open_quote(line: int) -> str:
    return (
        f"{{file}}: a cell of line {line} begins with a quote that is not closed in it, so that "
        "the rows below belong to the cell; close the quote at the end of the cell, or take it out"
    )


def parquet(names: Sequence[str]) -> bytes:
    """Return the cars as a Parquet file, their texts as bytes, as some tools write them."""
    table = pa.table([pa.array(column) for column in zip(*CARS, strict=True)], [*names])
    file = io.BytesIO()
    pq.write_table(table.set_column(0, "make", table["make"].cast(pa.binary())), file)
    return file.getvalue()


ODD = {
    "two quotes far apart": OddFile(quoted(10, 50), open_quote(10), CLEAN),
    "two quotes of neighbours": OddFile(quoted(10, 11), open_quote(10), CLEAN),
    "two quotes before other cells": OddFile(quoted(6, 10, cell="Kia"), open_quote(6), CLEAN),
    "quotes in the midst": OddFile(quoted(6, 10, cell="Rio"), open_quote(6), CLEAN),
    "one quote": OddFile(quoted(10), open_quote(10), CLEAN),
    "day numbers of Excel": OddFile(text(DAYS, DATED), EXCEL_DAYS, BY_DAY),
    "day numbers in a workbook": OddFile(
        workbook(("Cars", [DATED, *DAYS])), EXCEL_DAYS, BY_DAY, name="cars.xlsx"
    ),
    "dates of another format": OddFile(
        text(DOTTED, DATED),
        "{file}: listedOn is '1.1.24.' in row 0, and cannot be read in 100 % of the rows; give "
        "ingest.columns.listedOn the format of its dates, such as date: '%d.%m.%Y', or another "
        "column, or write 'listedOn: null'",
        {"columns": {"listedOn": {"from": "listedOn", "date": "%d.%m.%y."}}},
    ),
    "dates of two formats": OddFile(
        text(TWO_FORMATS, DATED),
        "{file}, listedOn: the date '05/01/2024' may start with the day or the month, and others "
        "have another format, such as '2024-05-01'; write all of them in one way, such as "
        "2024-05-31",
        text(IN_ISO, DATED),
    ),
    "a title above the header": OddFile(
        text(above="Our cars, June\n\n"),
        "{file} has no header in row 1, which is 'Our cars, June'; row 3 looks like it "
        f"('{NAMES}'): set ingest.header_row: 3",
        {"header_row": 3},
    ),
    "a title with a comma above semicolons": OddFile(
        text(separator=";", above="Our cars, June\n"),
        "{file} has no header in row 1, which is 'Our cars, June'; row 2 looks like it "
        f"('{NAMES}'): set ingest.header_row: 2",
        {"header_row": 2},
    ),
    "a title in Excel": OddFile(
        workbook(("Cars", TITLE), merged=["A1:E1"]),
        "{file} has no header in row 1, which is 'Our cars'; row 3 looks like it "
        f"('{NAMES}'): set ingest.header_row: 3",
        {"header_row": 3},
        name="cars.xlsx",
    ),
    "a title and no header": OddFile(
        text(header=(), above="Our cars\n"),
        "{file} has no header in row 1, which is 'Our cars'; set ingest.header_row to the row "
        "that names the columns, counted from 1, or to 0 if there is none",
        text(),
    ),
    "no header": OddFile(
        text(header=()),
        "{file} has no header: its first row is 'Kia, Rio, 2005, 20000, 250000'; set "
        "ingest.header_row: 0, and name its columns 'column 1', 'column 2' and so on in "
        "ingest.columns, such as make: column 1",
        {"header_row": 0, **BY_NUMBER},
    ),
    "no header in Excel": OddFile(
        workbook(("Cars", CARS)),
        "{file} has no header: its first row is 'Kia, Rio, 2005, 20000, 250000'; set "
        "ingest.header_row: 0, and name its columns 'column 1', 'column 2' and so on in "
        "ingest.columns, such as make: column 1",
        {"header_row": 0, **BY_NUMBER},
        name="cars.xlsx",
    ),
    "merged headers above the names": OddFile(
        workbook(("Cars", GROUPS), merged=["A1:C1", "D1:E1"]),
        "{file} has no header in row 1, which is 'Car, Offer'; row 2 looks like it "
        f"('{NAMES}'): set ingest.header_row: 2",
        {"header_row": 2},
        name="cars.xlsx",
    ),
    "a header of two rows": OddFile(
        workbook(("Cars", SPREAD), merged=["D1:E1"]),
        "{file} has a header of two rows ('make, model, year, Numbers' and 'odometer, price'), as "
        "merged cells make it; write the names into one row of the file, one above each column, "
        "or set ingest.header_row to 1 or 2 if that row alone will do",
        workbook(("Cars", [HEADER, *CARS])),
        name="cars.xlsx",
    ),
    "a header_row below the file's end": OddFile(
        text(),
        "{file} has no row below line 98; correct ingest.header_row, which counts from 1, or name "
        "another source",
        {"header_row": 1},
        ingest={"header_row": 99},
    ),
    "a header_row below the sheet's end": OddFile(
        workbook(("Cars", [HEADER, *CARS])),
        "{file} has no row 99 in the sheet 0; correct ingest.header_row, which counts from 1",
        {"header_row": 1},
        ingest={"header_row": 99},
        name="cars.xlsx",
    ),
    "two columns of one name": OddFile(
        text(header=TWICE),
        "{file} has 2 columns of the name 'price'; rename all but one, so that it is sure which "
        "of them is read",
        text(),
    ),
    "two columns of one name in Excel": OddFile(
        workbook(("Cars", [TWICE, *CARS])),
        "{file} has 2 columns of the name 'price'; rename all but one, so that it is sure which "
        "of them is read",
        workbook(("Cars", [HEADER, *CARS])),
        name="cars.xlsx",
    ),
    "two keys of one name": OddFile(
        '{"make": "Kia", "price": 1, "price": 2}\n',
        "{file} has 2 columns of the name 'price'; rename all but one, so that it is sure which "
        "of them is read",
        "".join(
            f'{{"make": "{a}", "model": "{b}", "year": {y}, "odometer": {d}, "price": {p}}}\n'
            for a, b, y, d, p in CARS
        ),
        name="cars.jsonl",
    ),
    "a second sheet with listings": OddFile(
        workbook(("May", [HEADER, *CARS]), ("June", [HEADER, *CARS[:9]])),
        "{file} has listings on the sheets 'May' and 'June', of which one is read; set "
        "ingest.sheet, such as sheet: May, or save each as a file of its own and give a pattern "
        "such as *.csv",
        {"sheet": "May"},
        name="cars.xlsx",
    ),
    "a first sheet without listings": OddFile(
        workbook(("About", [["Our cars"], ["in June"]]), ("Cars", [HEADER, *CARS])),
        "{file}: the sheet 'About' has no listings, 'Cars' has; set ingest.sheet: Cars",
        {"sheet": "Cars"},
        name="cars.xlsx",
    ),
    "UTF-16": OddFile(
        text().encode("utf-16"),
        "{file} is not utf-8-sig text but utf-16; set ingest.encoding: utf-16",
        {"encoding": "utf-16"},
    ),
    "cp1251 as cp1252": OddFile(
        RUSSIAN.encode("cp1251"),
        "{file} makes no words in cp1252 ('Ëàäà'); it looks like cp1251 (Cyrillic 'Лада'), "
        "mac_cyrillic (Cyrillic 'Ћада') or …; set ingest.encoding to the one whose word is right",
        {"encoding": "cp1251"},
        ingest={"encoding": "cp1252"},
    ),
    "Korean": OddFile(
        KOREAN.encode("cp949"),
        "{file} is not utf-8-sig text (byte 0xc7) in line 2; it looks like cp949 (Hangul "
        "'현대자동차'), …; set ingest.encoding to the one whose word is right",
        {"encoding": "cp949"},
    ),
    "Czech of Windows": OddFile(
        CZECH.encode("cp1250"),
        "{file} is not utf-8-sig text (byte 0x8a) in line 81; it looks like cp1250 (Latin "
        "'Škoda'); set ingest.encoding: cp1250",
        {"encoding": "cp1250"},
    ),
    "Czech of ISO as Windows": OddFile(
        CZECH.encode("iso8859-2"),
        "{file} makes no words in cp1250 ('©koda'); it looks like iso8859_2 (Latin 'Škoda'); set "
        "ingest.encoding: iso8859_2",
        {"encoding": "iso8859_2"},
        ingest={"encoding": "cp1250"},
    ),
    "Turkish as cp1252": OddFile(
        TURKISH.encode("cp1254"),
        "{file} makes no words in cp1252 ('çekiþ'); it looks like cp1254 (Latin 'çekiş'); set "
        "ingest.encoding: cp1254",
        {"encoding": "cp1254"},
        ingest={"encoding": "cp1252"},
    ),
    "French": OddFile(
        FRENCH.encode("cp1252"),
        "{file} is not utf-8-sig text (byte 0xe8) in line 2; it looks like cp1252 (Latin "
        "'très') or cp1250 (Latin 'trčs'); set ingest.encoding to the one whose word is right",
        {"encoding": "cp1252"},
    ),
    "prices with a euro sign": OddFile(
        text(changed("price", "{} €".format)).encode("cp1252"),
        "{file} is not utf-8-sig text (byte 0x80) in line 2; it looks like cp1252 (Latin '€'); set "
        "ingest.encoding: cp1252",
        {"encoding": "cp1252"},
        ingest={"columns": {"price": {"from": "price", "number": True}}, "units": EUROS},
    ),
    "UTF-16 without its mark": OddFile(
        text().encode("utf-16-le"),
        "{file} is not utf-8-sig text but utf-16-le; set ingest.encoding: utf-16-le",
        {"encoding": "utf-16-le"},
    ),
    "UTF-8 in JSON that is said to be cp1252": OddFile(
        json.dumps([dict(zip(HEADER, car, strict=True)) for car in SKODAS], ensure_ascii=False),
        "{file} is UTF-8 text ('\"Škoda\"'), which reads as '\"Å\\xa0koda\"' in cp1252; remove "
        "ingest.encoding",
        {"encoding": "utf-8-sig"},
        ingest={"encoding": "cp1252"},
        name="cars.json",
    ),
    "UTF-8 that is said to be cp1252": OddFile(
        CZECH,
        "{file} is UTF-8 text ('Škoda'), which reads as 'Å\\xa0koda' in cp1252; remove "
        "ingest.encoding",
        {"encoding": "utf-8-sig"},
        ingest={"encoding": "cp1252"},
    ),
    "UTF-8 that is said to be UTF-16": OddFile(
        CZECH,
        "{file} is not utf-16 text but UTF-8; remove ingest.encoding",
        {"encoding": "utf-8-sig"},
        ingest={"encoding": "utf-16"},
    ),
    "another separator": OddFile(
        text(separator="^"),
        "{file} has rows that are one cell each, such as 'make^model^year^odometer^price', where "
        "the separator is ','; set ingest.separator: '^'",
        {"separator": "^"},
    ),
    "a separator that is not the file's": OddFile(
        text(separator=";"),
        "{file} has rows that are one cell each, such as 'make;model;year;odometer;price', where "
        "the separator is ','; set ingest.separator: ';'",
        {"separator": ";"},
        ingest={"separator": ","},
    ),
    "rows in quotes": OddFile(
        text([], HEADER) + text([(f'"{text([car], ()).strip()}"',) for car in CARS], ()),
        "{file} has rows that are one cell each, in quotes as a whole ('Kia,Rio,2005,20000,250000')"
        "; take these quotes out, or export it again",
        text(),
    ),
    "a quote before a name of the header": OddFile(
        text().replace("price\nKia", '"price\nKia"', 1),
        open_quote(1),
        text(),
    ),
    "JSON of an answer": OddFile(
        json.dumps({"count": 80, "results": AS_OBJECTS}, indent=1),
        "{file} is one object, with its rows in 'results'; write that array alone into the file: "
        "it needs an array of objects, or one object a line",
        json.dumps(AS_OBJECTS),
        name="cars.json",
    ),
    "JSON by columns": OddFile(
        pd.DataFrame(AS_OBJECTS).to_json(),
        "{file} is one object, of 'make', 'model', 'year' …; it needs an array of objects, or one "
        "object a line, as pandas writes by to_json(orient='records')",
        pd.DataFrame(AS_OBJECTS).to_json(orient="records"),
        name="cars.json",
    ),
    "two columns of one name in Parquet": OddFile(
        parquet(TWICE),
        "{file} has 2 columns of the name 'price'; rename all but one, so that it is sure which "
        "of them is read",
        parquet(HEADER),
        name="cars.parquet",
    ),
    "a second sheet that goes on": OddFile(
        workbook(("Cars", [HEADER, *CARS]), ("Cars 2", CARS[:9])),
        "{file} has listings on the sheets 'Cars' and 'Cars 2', of which one is read; set "
        "ingest.sheet, such as sheet: Cars, or save each as a file of its own and give a pattern "
        "such as *.csv",
        {"sheet": "Cars"},
        name="cars.xlsx",
    ),
    "an encrypted workbook": OddFile(
        b"\xd0\xcf\x11\xe0" + bytes(600),
        "{file} is encrypted, or old Excel; save it again as .xlsx without a password",
        workbook(("Cars", [HEADER, *CARS])),
        name="cars.xlsx",
    ),
    "a web page": OddFile(
        "<!DOCTYPE html>\n<html><body>Sign in</body></html>\n",
        "{file} is not a text file: it is a web page (HTML), as of a login, an error or an export "
        "for Excel; download the file itself, or open it in a spreadsheet and save it as .xlsx or "
        ".csv",
        text(),
    ),
    "two encodings in one file": OddFile(
        CZECH.encode() + "Citroën,C3,2019,1,300000\n".encode("cp1252"),
        "{file} is not utf-8-sig text (byte 0xeb) in line 82, though 1 other lines with such "
        "letters are: it mixes encodings; export it again as UTF-8",
        CZECH,
    ),
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_file_is_refused_and_the_remedy_works(name: str, tmp_path: Path) -> None:
    check(ODD[name], tmp_path)


REFUSED = {
    *("rows in quotes", "a quote before a name of the header", "JSON of an answer", "a web page"),
    *("JSON by columns", "two columns of one name in Parquet", "an encrypted workbook"),
    *("two quotes far apart", "two quotes of neighbours", "two quotes before other cells"),
    *("quotes in the midst", "one quote"),
    *("a title and no header", "a header of two rows", "two columns of one name"),
    *("two columns of one name in Excel", "two keys of one name", "two encodings in one file"),
}
"""Files that no setting reads."""


@pytest.mark.parametrize("name", ODD)
def test_map_proposes_the_remedy(name: str, tmp_path: Path) -> None:
    check_map(ODD[name], tmp_path, is_refused=name in REFUSED)


@pytest.mark.parametrize("name", ["day numbers of Excel", "day numbers in a workbook"])
def test_a_day_number_is_the_day_that_excel_shows(name: str, tmp_path: Path) -> None:
    assert check(ODD[name], tmp_path)["valuation_date"] == "2024-03-28"


def test_a_text_of_several_lines_is_one_cell(tmp_path: Path) -> None:
    notes = (
        '"Full history,\nABS, 4 airbags, 16 inch, 2 keys, navi, 1\r\none ""owner"", no, rust, a, b"'
    )
    file = tmp_path / "cars.csv"
    file.write_text(text([(*car, notes) for car in CARS], NOTED), encoding="utf-8")
    rows, _ = read(file, {})
    assert len(rows["make"]) == len(CARS)
