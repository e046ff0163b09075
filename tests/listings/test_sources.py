import base64
import gzip
import http.server
import io
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from web import serving

from carprice.errors import InputError
from carprice.listings.sources import Chunk, read_chunks
from carprice.redaction import redact
from carprice.sample.market import generate
from carprice.settings import IngestSettings

CARS = pd.DataFrame(
    {"make": ["Kia", "Ford", "BMW"], "year": [2019, 2015, 2011], "note": ["é", None, "a,b"]}
)
CSV = 'make,year,note\nKia,2019,é\nFord,2015,\nBMW,2011,"a,b"\n'
HIDDEN = "p4ss-W0rd"
CLOSED = "127.0.0.1:1"
QUERY = {"query": "SELECT 1"}


def chunks(source: object, rows: int = 200_000, **settings: Any) -> list[Chunk]:
    checked = IngestSettings.model_validate(settings)
    return list(read_chunks(checked, chunk_rows=rows, source=str(source)))


def rows(source: object, **settings: Any) -> list[list[Any]]:
    parts = [chunk.frame for chunk in chunks(source, rows=2, **settings)]
    assert all(len(part) <= 2 for part in parts)
    frame = pd.concat(parts)
    assert frame.index.tolist() == list(range(len(frame)))
    assert list(frame.columns) == ["make", "year", "note"]
    return [[str(v) if pd.notna(v) else None for v in row] for row in frame.to_numpy()]


EXPECTED = [["Kia", "2019", "é"], ["Ford", "2015", None], ["BMW", "2011", "a,b"]]
JSON_ROWS = json.loads(CARS.to_json(orient="records"))
JSON_LINES = "\n".join(json.dumps(row) for row in JSON_ROWS) + "\n\n"
PIPES = '"make"|" year "|note\r\nKia|2019|é\r\n\r\nFord|2015|\r\nBMW|2011|a,b\r\n'


def without_bytes(value: object) -> str | None:
    """Name a row of a table; a workbook's bytes hold the time at which they were made."""
    return "bytes" if isinstance(value, bytes) else None


def workbook() -> bytes:
    content = io.BytesIO()
    with pd.ExcelWriter(content) as book:
        pd.DataFrame({"x": [1]}).to_excel(book, sheet_name="About", index=False)
        CARS.to_excel(book, sheet_name="Stock", index=False)
    return content.getvalue()


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize(
    ("name", "content", "settings"),
    [
        ("cars.csv", CSV, {}),
        ("cars.csv", CSV.encode("utf-8-sig"), {}),
        ("cars.csv", CSV.encode("cp1252"), {"encoding": "cp1252"}),
        ("cars.csv", CSV.encode("utf-16"), {"encoding": "utf-16"}),
        ("cars.tsv", "make\tyear\tnote\nKia\t2019\té\nFord\t2015\t\nBMW\t2011\ta,b\n", {}),
        ("cars.csv", "make;year;note\nKia;2019;é\nFord;2015;\nBMW;2011;a,b\n", {}),
        ("cars.csv", PIPES, {}),
        ("cars.jsonl", JSON_LINES, {}),
        ("cars.ndjson", JSON_LINES, {}),
        ("cars.json", JSON_LINES, {}),
        ("cars.json", json.dumps(JSON_ROWS, indent=1), {}),
        ("cars.xlsx", workbook(), {"sheet": "Stock"}),
        ("cars.xlsx", workbook(), {"sheet": 1}),
    ],
    ids=without_bytes,
)
def test_every_format_reads_the_same_rows(
    name: str, content: str | bytes, settings: dict[str, Any], packed: bool, tmp_path: Path
) -> None:
    content = content.encode() if isinstance(content, str) else content
    path = tmp_path / (name + ".gz" if packed else name)
    path.write_bytes(gzip.compress(content) if packed else content)
    assert rows(path, **settings) == EXPECTED


def test_parquet_reads_the_same_rows(tmp_path: Path) -> None:
    path = tmp_path / "cars.parquet"
    CARS.set_index(pd.Index([7, 8, 9])).to_parquet(path, index=False, row_group_size=2)
    assert rows(path) == EXPECTED


def test_csv_values_stay_as_they_are_written_and_the_separator_is_settable(tmp_path: Path) -> None:
    path = tmp_path / "cars.csv"
    path.write_text("code;a,b,c\n007;1.10\n1e5;x\n")
    frame = chunks(path, separator=";")[0].frame
    assert frame.to_dict("list") == {"code": ["007", "1e5"], "a,b,c": ["1.10", "x"]}


@pytest.mark.parametrize("separator", ["§", "¦", "§|;"])
def test_a_separator_may_be_any_sign_or_expression(separator: str, tmp_path: Path) -> None:
    path = tmp_path / "cars.csv"
    text = CSV.replace(",", separator[0]).replace(f'"a{separator[0]}b"', "a,b")
    path.write_text(text, encoding="utf-8")
    assert rows(path, separator=separator) == EXPECTED


@pytest.mark.parametrize("encoding", ["idna", "punycode"])
def test_a_codec_that_does_not_say_where_it_fails_is_one_line(
    encoding: str, tmp_path: Path
) -> None:
    (tmp_path / "cars.csv").write_bytes(b"make,year\n\xff\xfe..a,2019\n")
    with pytest.raises(InputError, match=f"cars.csv is not {encoding} text") as raised:
        chunks(tmp_path / "cars.csv", encoding=encoding)
    assert "\n" not in str(raised.value)


def test_json_rows_may_have_different_keys_in_every_chunk(tmp_path: Path) -> None:
    path = tmp_path / "cars.jsonl"
    path.write_text('{"make": "Kia"}\n{"make": "BMW", "color": "red"}\n')
    parts = chunks(path, rows=1)
    assert [list(part.frame.columns) for part in parts] == [["make", "color"]] * 2
    assert pd.isna(parts[0].frame["color"].iloc[0])


def test_a_file_is_read_no_further_than_asked(tmp_path: Path) -> None:
    path = tmp_path / "cars.csv"
    path.write_text("make,year\n" + "Kia,2019\n" * 500_000 + "too,many,fields\n")
    reader = read_chunks(IngestSettings(), chunk_rows=10, source=str(path))
    assert len(next(reader).frame) == 10


def test_a_pattern_reads_files_by_name_and_drops_all_endings(tmp_path: Path) -> None:
    folder = tmp_path / "sub folder"
    folder.mkdir()
    for name in ("vw.csv.gz", "audi.csv", "merc.v2.csv"):
        content = CSV.encode()
        (folder / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    (folder / ".hidden.csv").write_text("x")
    names = [chunk.filename for chunk in chunks(f"{tmp_path}/*/*.csv*")]
    assert names == ["audi", "merc", "vw"]
    assert len(chunks(f"{tmp_path}/**/*.csv*")) == 3


@pytest.mark.parametrize("name", ["cars[1].csv", "my cars.csv"])
def test_a_path_or_its_url_is_read_whatever_its_name_looks_like(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(CSV, encoding="utf-8")
    assert rows(path) == EXPECTED
    assert rows(path.as_uri()) == EXPECTED


def test_the_sample_is_cut_into_chunks() -> None:
    parts = chunks("sample", rows=60, sample={"rows": 100, "seed": 3})
    assert [(len(part.frame), part.filename) for part in parts] == [(60, ""), (40, "")]
    read = pd.concat(part.frame for part in parts)
    pd.testing.assert_frame_equal(read, generate(100, 3), check_column_type=False)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("cars.csv", b"", r"cars\.csv is empty"),
        ("cars.csv", b"\n \n", r"cars\.csv is empty"),
        ("cars.csv.gz", gzip.compress(b"", mtime=0), r"cars\.csv\.gz is empty"),
        ("cars.csv", b"make,year\n", r"cars\.csv has no rows below its header"),
        ("cars.jsonl", b"\n", r"cars\.jsonl has no rows"),
        ("cars.json", b"[]", r"cars\.json has no rows"),
        (
            "cars.csv",
            "make\né\n".encode("cp1252"),
            r"not utf-8-sig text \(byte 0xe9\).*ingest\.enc",
        ),
        ("cars.jsonl", '"é"'.encode("cp1252"), r"not utf-8-sig text .*ingest\.encoding"),
        ("cars.csv", b"a,b\n1,2\n1,2,3\n", r"do not fit its header \(.*line 3.*separator ','\)"),
        (
            "cars.csv",
            b'a,b\n"1,2\n',
            r"cars\.csv: a cell of line 2 begins with a quote that is not",
        ),
        ("cars.csv", b"PK\x03\x04zip", r"cars\.csv is not a text file: it is a ZIP .*\.xlsx"),
        (
            "cars.csv",
            gzip.compress(b"a,b\n1,2\n", mtime=0),
            r"not a text file: it is gzip \(ending \.gz\)",
        ),
        ("cars.csv.gz", b"a,b\n1,2\n", r"cars\.csv\.gz is not a whole gzip file"),
        ("cars.csv.gz", gzip.compress(b"a,b\n" * 99, mtime=0)[:-9], r"not a whole gzip file"),
        ("cars.xlsx", workbook(), r"no sheet 'Cars'; set ingest.sheet to .*About, Stock"),
        ("cars.xlsx", b"a,b\n1,2\n", r"cars\.xlsx is not an Excel file: it begins with 'a,b"),
        ("cars.xlsx", b"PK\x03\x04zip", r"cars\.xlsx is not a readable Excel file"),
        ("cars.parquet", b"a,b\n1,2\n", r"cars\.parquet is not a whole Parquet file"),
        ("cars.parquet.gz", gzip.compress(b"x", mtime=0), r"unpack it with gunzip"),
        ("cars.jsonl", b'{"a": 1}\n{"a": \n', r"cars\.jsonl line 2 is not JSON"),
        ("cars.jsonl", b"[1]\n", r"line 1 holds list '\[1\]'; each row needs to be an object"),
        ("cars.json", b"[1, 2]", r"cars\.json item 1 holds int '1'"),
        ("cars.json", b'[{"a": 1},', r"cars\.json is not JSON .*line 1"),
        ("cars.json", b'{\n "a": 1\n}', r"cars\.json line 1 is not JSON"),
        ("cars.zip", b"PK", r"cars\.zip is an archive; unpack it first, and name the file in it"),
        ("cars.csv", bytes(200_000), r"cars\.csv is not a text file: it begins with zero bytes"),
        ("cars.pdf", b"%PDF", r"cars\.pdf has the unknown ending '\.pdf'; .*\.csv, \.tsv"),
        ("cars", b"a,b\n1,2\n", r"cars has no ending"),
    ],
    ids=without_bytes,
)
def test_a_file_that_cannot_be_read_is_named_with_the_remedy(
    name: str, content: bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as raised:
        chunks(tmp_path / name, sheet="Cars")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("postgresql+psycopg://ann:<pw>@db/cars", "postgresql+psycopg://ann:***@db/cars"),
        ("postgresql://ann:p@w/x@db/cars", "postgresql://ann:***@db/cars"),
        ("mysql://:pw@db/cars", "mysql://:***@db/cars"),
        ("https://ghp_token@example.com/x.csv", "https://***@example.com/x.csv"),
        ("https://h/x.csv?sig=a%2Bb&v=2", "https://h/x.csv?sig=***&v=2"),
        ("https://h/x.csv?v=2&access_token=a", "https://h/x.csv?v=2&access_token=***"),
        ("https://h/x.csv?AWSAccessKeyId=A&Signature=b", "https://h/x.csv?AWSAccessKeyId=***"
         "&Signature=***"),
        ("postgresql://db/cars?user=ann&password=pw", "postgresql://db/cars?user=ann&password=***"),
        ("https://example.com:8080/x.csv", "https://example.com:8080/x.csv"),
        ("sqlite:///cars.db", "sqlite:///cars.db"),
        ("C:\\data\\cars.csv", "C:\\data\\cars.csv"),
        ("s3://bucket/a/*.csv", "s3://bucket/a/*.csv"),
    ],
)  # fmt: skip
def test_secrets_are_hidden_and_nothing_else(source: str, shown: str) -> None:
    assert redact(source) == shown


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("http://[::1/cars.csv", "http://[::1/cars.csv is no path or address"),
        (f"http://ann:{HIDDEN}@exa[mple/x.csv", "http://***@exa[mple/x.csv is no path or address"),
        ("file://[x/y.csv", "Invalid IPv6 URL; correct ingest.source"),
        ("~nosuchuser/cars.csv", "~nosuchuser/cars.csv is no path or address"),
        ("x" * 5000, "xx… is no path or address that can be looked up: "),
        ("a**b.csv", "a**b.csv is no path or address"),
        ("sqlite://[::1/x", "sqlite://[::1/x is not a SQLAlchemy URL"),
    ],
    ids=lambda text: text[:20],
)
def test_what_is_no_path_or_address_is_one_line(source: str, message: str) -> None:
    with pytest.raises(InputError) as raised:
        chunks(source)
    assert message in str(raised.value)
    assert HIDDEN not in str(raised.value)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 500


@pytest.fixture
def database(tmp_path: Path) -> str:
    path = tmp_path / "cars.db"
    connection = sqlite3.connect(path)
    CARS.to_sql("cars", connection, index=False)
    connection.close()
    return f"sqlite:///{path.as_posix()}"


def test_a_query_reads_the_same_rows(database: str) -> None:
    assert rows(database, query="SELECT * FROM cars") == EXPECTED
    assert chunks(database, query="SELECT * FROM cars")[0].filename == ""


def test_a_query_may_hold_percent_and_colon(database: str) -> None:
    query = "SELECT make, '12:30' AS t FROM cars WHERE make LIKE 'K%'"
    assert chunks(database, query=query)[0].frame.to_numpy().tolist() == [["Kia", "12:30"]]


def _leaks_nothing(error: BaseException) -> None:
    assert HIDDEN not in str(error)
    assert error.__suppress_context__ or error.__context__ is None
    assert error.__cause__ is None


class _Site(http.server.SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        login = "Basic " + base64.b64encode(f"ann:{HIDDEN}".encode()).decode()
        if self.path.startswith("/private") and self.headers["Authorization"] != login:
            self.send_error(401)
        elif self.path == "/cut.csv":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"make,year\nKia,2019\n")
        else:
            super().do_GET()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("site")
    (folder / "private").mkdir()
    for name in ("my cars.csv", "private/cars.csv"):
        (folder / name).write_text(CSV, encoding="utf-8")
    CARS.to_parquet(folder / "cars.parquet")
    with serving(_Site, directory=str(folder)) as url:
        yield url


@pytest.fixture(autouse=True)
def direct_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("no_proxy", "*")


@pytest.mark.parametrize("path", ["/my%20cars.csv", "/my cars.csv?token=1", "/cars.parquet"])
def test_a_web_address_reads_the_same_rows(path: str, site: str) -> None:
    assert rows(site + path) == EXPECTED


def test_the_login_of_a_web_address_is_used(site: str) -> None:
    url = site.replace("//", f"//ann:{HIDDEN}@") + "/private/cars.csv"
    assert rows(url) == EXPECTED
    assert HIDDEN not in chunks(url)[0].label


@pytest.fixture
def places(tmp_path: Path, database: str, site: str) -> dict[str, str]:
    (tmp_path / "cars.csv").write_text(CSV, encoding="utf-8")
    return {
        "folder": tmp_path.as_posix(),
        "database": database,
        "site": site,
        "host": site.removeprefix("http://"),
        "login": f"//ann:{HIDDEN}@",
    }


@pytest.mark.parametrize(
    ("source", "settings", "message"),
    [
        ("", {}, r"ingest\.source is empty; name a path, an address or sam"),
        ("  ", {}, r"ingest\.source is empty; name a path, an address or sam"),
        ("{folder}/none.csv", {}, r"none\.csv does not exist; correct ingest\.source"),
        ("{folder}/*.xlsx", {}, r"no file matches .*\*\.xlsx"),
        ("{folder}", {}, r"is a folder; name a file in it.*\*\.csv"),
        (
            "{folder}/cars.csv",
            {"encoding": "latin-77"},
            r"ingest\.encoding 'latin-77' is not known",
        ),
        ("C:\\data\\cars.csv", {}, r"file C:\\data\\cars.csv does not exist"),
        ("sqlite:///{folder}/none.db", QUERY, r"the database file .*none\.db does not exist"),
        ("{database}", {}, "is a database; put the SELECT"),
        (
            "{database}",
            {"query": "SELECT * FROM lorries"},
            "the database refused: no such table: lo",
        ),
        ("{database}", {"query": "SELECT make FROM cars WHERE year = 1"}, "returned no rows"),
        ("{database}", {"query": "SELECT make, year AS make FROM cars"}, "the column 'make' twice"),
        ("{database}", {"query": "CREATE TABLE x (y)"}, "needs to be a SELECT"),
        ("postgresql+nodriver:{login}db/cars", QUERY, r"nodriver:// is neither .*carprice\[sql"),
        ("gs:{login}bucket/cars.csv", QUERY, r"gs:// is neither a file store nor"),
        ("firebird:{login}db/cars", QUERY, "firebird:// is neither"),
        ("oracle+oracledb:{login}db/cars", QUERY, "needs the database driver oracledb"),
        (
            "{site}/none.csv?token=" + HIDDEN,
            {},
            r"none\.csv\?token=\*\*\* answered HTTP status 404",
        ),
        ("{site}/private/cars.csv", {}, "answered HTTP status 401"),
        ("{site}/cut.csv", {}, r"cut\.csv broke off after 19 of 1000 bytes"),
        ("http:{login}" + CLOSED + "/cars.csv", {}, "cannot be reached: .*refused"),
    ],
)
def test_a_source_that_cannot_be_read_is_named_without_its_password(
    source: str, settings: dict[str, Any], message: str, places: dict[str, str], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message) as raised:
        chunks(source.format(**places), **settings)
    _leaks_nothing(raised.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cars.csv", "cars.db"]


def test_s3_reads_the_same_rows(bucket: Any, tmp_path: Path) -> None:
    CARS.to_parquet(tmp_path / "cars.parquet")
    bucket.put_object(Bucket="market", Key="in/cars.csv", Body=CSV.encode())
    bucket.upload_file(str(tmp_path / "cars.parquet"), "market", "in/cars.parquet")
    assert rows("s3://market/in/cars.csv") == EXPECTED
    assert rows("s3://market/in/cars.parquet") == EXPECTED


def test_an_s3_pattern_reads_objects_by_name(bucket: Any) -> None:
    for name in ("b.csv.gz", "a.csv", "deep/c.csv"):
        content = CSV.encode()
        body = gzip.compress(content) if name.endswith("gz") else content
        bucket.put_object(Bucket="market", Key=f"in/{name}", Body=body)
    found = [(chunk.filename, chunk.label) for chunk in chunks("s3://market/in/*.csv*")]
    assert found == [("a", "s3://market/in/a.csv"), ("b", "s3://market/in/b.csv.gz")]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("s3://market/in/none.csv", r"s3://market/in/none\.csv does not exist"),
        ("s3://market/in/*.parquet", r"no object matches s3://market/in/\*\.parquet"),
        ("s3://nowhere/cars.csv", "the S3 bucket 'nowhere' does not exist"),
        ("s3://nowhere/*.csv", "the S3 bucket 'nowhere' does not exist"),
        ("s3://market/in", r"s3://market/in is a folder"),
        ("s3://market", "names no file"),
    ],
)
def test_what_is_not_in_s3_is_named(source: str, message: str, bucket: Any) -> None:
    bucket.put_object(Bucket="market", Key="in/cars.csv", Body=CSV.encode())
    with pytest.raises(InputError, match=message):
        chunks(source)


@pytest.mark.parametrize(
    ("login", "message"),
    [
        ({}, "needs AWS credentials and none were found"),
        (
            {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": HIDDEN},
            "cannot be reached: .*AWS_ENDPOINT_URL",
        ),
    ],
)
def test_an_s3_store_that_cannot_be_asked_is_named(
    login: dict[str, str], message: str, no_aws_login: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"AWS_ENDPOINT_URL": f"http://{CLOSED}", "AWS_MAX_ATTEMPTS": "1", **login}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=message) as raised:
        chunks("s3://market/cars.csv")
    _leaks_nothing(raised.value)


@pytest.mark.parametrize(
    ("text", "separator"),
    [
        ("make,year,note\nKia,2019, 'a b' \nVW,001,\nVW,1.10,NA\n", None),
        ('make,year,note\nKia,2019,"a, ""b""\nline"\nVW,"", c \n\n', None),
        ("make,year,note\nKia,2019\nVW,nan,x\n", None),
        ("make||year||note\nKia||007||\nVW||1.10||x\n", r"\|\|"),
    ],
)
def test_csv_is_read_as_categories_as_it_is_as_texts(
    tmp_path: Path, text: str, separator: str | None
) -> None:
    (tmp_path / "cars.csv").write_text(text)
    settings = IngestSettings(source=str(tmp_path / "cars.csv"), separator=separator)
    texts, coded = (
        pd.concat([one.frame for one in read_chunks(settings, coded=coded)])
        for coded in (False, True)
    )
    assert {*map(str, coded.dtypes)} == {"category"}
    pd.testing.assert_frame_equal(coded.astype(texts.dtypes.to_dict()), texts)
