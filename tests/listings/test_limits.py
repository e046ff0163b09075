"""Files that would take far more memory or time than their size tells."""

import gzip
import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from carprice.errors import InputError
from carprice.listings.sources import Chunk, limits, read_chunks
from carprice.settings import IngestSettings


def chunks(path: Path) -> list[Chunk]:
    return list(read_chunks(IngestSettings(source=str(path))))


def sheet(cells: str, **parts: bytes) -> bytes:
    """Return a workbook whose only sheet has some cells, in XML."""
    content = io.BytesIO()
    pd.DataFrame({"make": ["Kia"], "year": [2019]}).to_excel(content, index=False)
    changed = io.BytesIO()
    with (
        zipfile.ZipFile(content) as old,
        zipfile.ZipFile(changed, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            part = old.read(name)
            if name.startswith("xl/worksheets/"):
                part = part.replace(b"</sheetData>", cells.encode() + b"</sheetData>")
            new.writestr(name, part)
        for name, part in parts.items():
            new.writestr(name, part)
    return changed.getvalue()


def parquet(**columns: Any) -> bytes:
    content = io.BytesIO()
    pq.write_table(pa.table(columns), content)
    return content.getvalue()


def repeated(text: str, rows: int) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, dtype=np.int8)), [text])


DEEP = "[" * 100_000
NO_UTF_8 = pa.array([b"\xff\xfe"]).view(pa.string())
BOMBS: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "one line": ("a.csv", lambda: b"make,year\n" + b"x" * 9_000_000, "a line of more than 8 MB"),
    "one packed line": (
        "a.csv.gz",
        lambda: gzip.compress(b"x" * 9_000_000, mtime=0),
        "a line of more than 8 MB",
    ),
    "packed lines": (
        "a.csv.gz",
        lambda: gzip.compress(b"make,year\n" + b"Kia,2019\n" * 15_000_000, 1, mtime=0),
        "unpacks to more than 100 times its",
    ),
    "an object a packed line": (
        "a.jsonl.gz",
        lambda: gzip.compress(b'{"make": "Kia"}\n' * 9_000_000, 1, mtime=0),
        "unpacks to more than 100 times its",
    ),
    "columns": ("a.csv", lambda: b"a," * 99_999 + b"a\n1\n", "has 100,000 columns or more"),
    "a line of separators": ("a.csv", lambda: b"," * 7_000_000, "has 7,000,000 columns or more"),
    "keys": (
        "a.jsonl",
        lambda: b"".join(b'{"k%d": 1}\n' % number for number in range(20_000)),
        "has 16,385 columns or more",
    ),
    "a deep object": ("a.jsonl", lambda: b'{"make": %s\n' % DEEP.encode(), "line 1 is not JSON"),
    "a deep array": ("a.json", DEEP.encode, "is not JSON .it is nested too deeply"),
    "a deep document": ("a.json", lambda: b'{"a": %s' % DEEP.encode(), "a.json line 1 is not JSON"),
    "many digits": ("a.jsonl", lambda: b'{"year": %s}' % (b"9" * 5000), "not JSON .Exceeds"),
    "a packed sheet": (
        "a.xlsx",
        lambda: sheet("", **{"xl/more.xml": b" " * 130_000_000}),
        "unpacks to more than 100 times its",
    ),
    "the last cell": (
        "a.xlsx",
        lambda: sheet('<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'),
        "reaches to row 1,048,576, column 16,384, with 5 cells",
    ),
    "a row beyond": (
        "a.xlsx",
        lambda: sheet('<row r="99999999999"><c r="A99999999999"><v>1</v></c></row>'),
        "reaches to row 99,999,999,999",
    ),
    "the last cell in small letters": (
        "a.xlsx",
        lambda: sheet("<row r='1048576'><c r = 'xfd1048576'><v>1</v></c></row>"),
        "reaches to row 1,048,576, column 16,384, with 5 cells",
    ),
    "the last cell of a sheet elsewhere": (
        "a.xlsx",
        lambda: sheet("", **{"xl/sheets/a.xml": b"<x:sheetData><x:c r='XFD1048576'/>"}),
        "reaches to row 1,048,576, column 16,384, with 1 cells",
    ),
    "cells without places": (
        "a.xlsx",
        lambda: sheet(f"<row>{'<c/>' * 600_000}</row>"),
        "columns or more, and at most 16,384 are read",
    ),
    "no XML": ("a.xlsx", lambda: sheet("<row"), "is not a readable Excel file"),
    "one long text": (
        "a.parquet",
        lambda: parquet(make=repeated("x" * 1_000_000, 200_000)),
        "the texts of the column 'make' are too long",
    ),
    "many rows": (
        "a.parquet",
        lambda: parquet(make=pa.array(np.zeros(130_000_000, dtype=bool))),
        "unpacks to more than 100 times its",
    ),
    "many items": (
        "a.parquet",
        lambda: parquet(make=pa.ListArray.from_arrays([0, 130_000_000], pa.nulls(130_000_000))),
        "unpacks to more than 100 times its",
    ),
    "a day beyond": (
        "a.parquet",
        lambda: parquet(date=pa.array([2**31 - 1], pa.int32()).cast(pa.date32())),
        "year 5881580 is out of range",
    ),
    "a time beyond": (
        "a.parquet",
        lambda: parquet(date=pa.array([10**17], pa.int64()).cast(pa.time64("us"))),
        "is not within the acceptable range",
    ),
    "no UTF-8": ("a.parquet", lambda: parquet(make=NO_UTF_8), "Invalid UTF8 sequence"),
    "lists of no UTF-8": (
        "a.parquet",
        lambda: parquet(make=pa.ListArray.from_arrays([0, 1], NO_UTF_8)),
        "Invalid UTF8 sequence",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", BOMBS)
def test_what_unpacks_to_too_much_is_refused(kind: str, tmp_path: Path) -> None:
    name, content, message = BOMBS[kind]
    (tmp_path / name).write_bytes(content())
    with pytest.raises(InputError, match=message) as raised:
        chunks(tmp_path / name)
    assert str(raised.value).startswith(str(tmp_path / name))
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 500


def test_a_wide_table_and_long_texts_are_read(tmp_path: Path) -> None:
    width, text = 16_384, "x" * 3_000_000
    header = ",".join(f"c{place}" for place in range(width))
    (tmp_path / "wide.csv").write_text(f"{header}\n{'1,' * (width - 1)}1\n")
    assert [chunk.frame.shape for chunk in chunks(tmp_path / "wide.csv")] == [(1, width)]
    (tmp_path / "long.csv.gz").write_bytes(gzip.compress(f"make,note\nKia,{text}\n".encode()))
    assert chunks(tmp_path / "long.csv.gz")[0].frame["note"].tolist() == [text]
    rows = [{"make": "Kia", "note": text}] * 4
    (tmp_path / "long.json").write_text(json.dumps(rows))
    assert chunks(tmp_path / "long.json")[0].frame["note"].tolist() == [text] * 4
    (tmp_path / "long.parquet").write_bytes(
        parquet(make=repeated("Kia", 9), note=["é", None] * 4 + ["b"])
    )
    read = chunks(tmp_path / "long.parquet")[0].frame
    assert read["make"].tolist() == ["Kia"] * 9
    assert read["note"].fillna("").tolist() == ["é", ""] * 4 + ["b"]


def test_parquet_may_hold_lists_and_objects_beside_texts(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(
        parquet(make=["Kia", None], features=[["ABS", "GPS"], None], seller=[{"name": "é"}, None])
    )
    (found,) = chunks(tmp_path / "a.parquet")
    assert found.frame["make"].fillna("").tolist() == ["Kia", ""]
    assert [*found.frame["features"][0]] == ["ABS", "GPS"]
    assert found.frame["seller"].tolist() == [{"name": "é"}, None]


def test_half_a_letter_is_a_question_mark(tmp_path: Path) -> None:
    row = r'{"make": "\ud83d", "model": "\ud83d\ude00", "year": NaN}'
    for name, text in (("a.jsonl", f"{row}\n"), ("a.json", f"[{row}]")):
        (tmp_path / name).write_text(text)
        (found,) = chunks(tmp_path / name)
        assert found.frame[["make", "model"]].to_numpy().tolist() == [["?", "\U0001f600"]]


def test_a_wide_table_is_read_in_smaller_parts() -> None:
    assert limits.rows_at_once(200_000, 20) == 200_000
    assert limits.rows_at_once(200_000, 16_384) == 1_220
    assert limits.rows_at_once(200_000, 0) == 200_000


def test_a_packed_line_takes_no_more_memory_than_a_small_file(tmp_path: Path) -> None:
    """Five megabytes that are a gigabyte of one line."""
    part = gzip.compress(b"x" * 10_000_000, mtime=0)
    (tmp_path / "cars.csv.gz").write_bytes(gzip.compress(b"make,year\n", mtime=0) + part * 100)
    (tmp_path / "params.yaml").write_text("ingest: {source: cars.csv.gz}")
    # The peak of a process counts that of the one which started it: a small one starts it.
    program = """
import resource, subprocess, sys
done = subprocess.run([sys.executable, "-m", "carprice.cli", "ingest"])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(done.returncode)
"""
    process = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    lines = process.stderr.splitlines()
    assert process.returncode == 2
    assert lines[-1] == (
        "carprice: cars.csv.gz has a line of more than 8 MB; export it again with one row a line"
    )
    assert not any("Traceback" in line for line in lines)
    assert int(process.stdout.split()[-1]) < 900_000  # kilobytes; the line alone has 1,000,000
