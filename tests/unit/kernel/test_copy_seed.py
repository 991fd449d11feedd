"""Where seed files are found and how they are read; no database is asked."""

from __future__ import annotations

import gzip
import io
import zipfile
from typing import TYPE_CHECKING

import pytest

from monohull.kernel.database.copy_seed import (
    Copy,
    SeedError,
    locate,
    open_source,
    parse_copies,
    read_columns,
)

if TYPE_CHECKING:
    from pathlib import Path

ROWS = b"code,name\nAA,American\n"


def test_parse_copies_keeps_the_order() -> None:
    document = {
        "seed": {"copy": [{"table": "b", "source": "b.csv"}, {"table": "a", "source": "a.csv", "null": "NA"}]}
    }
    assert parse_copies(document) == (Copy("b", "b.csv"), Copy("a", "a.csv", null="NA"))


def test_a_project_without_seed_copies_nothing() -> None:
    assert parse_copies({}) == ()


@pytest.mark.parametrize(
    "entry", [{"table": "a"}, {"table": 1, "source": "a"}, {"table": "a", "source": "a", "nul": ""}, "a"]
)
def test_a_wrong_entry_says_how_to_write_it(entry: object) -> None:
    with pytest.raises(SeedError, match=r"\[seed\] copy in monohull.toml: .* write"):
        parse_copies({"seed": {"copy": [entry]}})


def test_read_columns_understands_quotes_and_byte_order_marks() -> None:
    assert read_columns(io.BytesIO(b'\xef\xbb\xbfa,"b c",d\r\n1,2,3'), "x.csv") == ["a", "b c", "d"]


@pytest.mark.parametrize("head", [b"", b"\n", b"a,,b\n", b"\xff\xfe\n"])
def test_a_file_without_column_names_is_refused(head: bytes) -> None:
    with pytest.raises(SeedError, match=r"x\.csv"):
        read_columns(io.BytesIO(head), "x.csv")


def write(folder: Path, name: str) -> None:
    path = folder / name
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("rows.csv", ROWS)
    elif path.suffix == ".gz":
        path.write_bytes(gzip.compress(ROWS))
    else:
        path.write_bytes(ROWS)


@pytest.mark.parametrize("name", ["rows.csv", "rows.csv.gz", "rows.csv.zip"])
def test_sources_are_unpacked(tmp_path: Path, name: str) -> None:
    write(tmp_path, name)
    with open_source(name, tmp_path) as file:
        assert read_columns(file, name) == ["code", "name"]
        assert file.read(100) == b"AA,American\n"


def test_an_archive_of_two_files_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("a.csv", ROWS)
        archive.writestr("b.csv", ROWS)
    with pytest.raises(SeedError, match="holds 2 files"), open_source("two.zip", tmp_path):
        pass


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SeedError, match=r"rows\.csv does not exist"):
        locate("rows.csv", tmp_path)


@pytest.mark.parametrize("source", ["../rows.csv", "/etc/hostname", "json:../../../etc/hostname"])
def test_a_source_may_not_climb_out(tmp_path: Path, source: str) -> None:
    with pytest.raises(SeedError, match="leads out of"):
        locate(source, tmp_path / "project")


@pytest.mark.parametrize("package", ["no_such_package_here", "not-a-name", ""])
def test_a_missing_package_says_how_to_install_it(tmp_path: Path, package: str) -> None:
    with pytest.raises(SeedError, match="is not installed; `pip install"):
        locate(f"{package}:data/rows.csv", tmp_path)


def test_a_source_in_a_package_is_found_without_importing_it(tmp_path: Path) -> None:
    assert locate("json:decoder.py", tmp_path).name == "decoder.py"
