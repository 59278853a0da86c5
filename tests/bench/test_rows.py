"""The file of results survives a kill, and refuses to be another file."""

import dataclasses
import json
from pathlib import Path

import pytest

from retrodict._core.errors import DataError, StorageError
from retrodict.bench.rows import (
    TYPES,
    Row,
    Setting,
    append_row,
    finished,
    make_file,
    read_rows,
)


SETTING = Setting("amortized", "auto", 1000, 0)
ROW = Row("slcp", "amortized", "auto", 1000, 0, 3, 0.75, 4.5, 20.0, 5.0, 0.1)


def other(**changes):
    return dataclasses.replace(ROW, **changes)


def test_keys_of_a_line_are_the_fields_of_a_row():
    assert set(TYPES) == {field.name for field in dataclasses.fields(Row)}


def test_rows_come_back_as_they_were(tmp_path: Path):
    path = tmp_path / "new" / "rows.jsonl"
    rows = [ROW, other(observation=4, nlpd=None), other(task="sir", seed=2**62)]
    for row in rows:
        append_row(path, row)
    assert read_rows(path) == rows
    first = json.loads(path.read_text().splitlines()[0])
    assert first == dataclasses.asdict(ROW)


def test_no_file_has_no_rows(tmp_path: Path):
    assert read_rows(tmp_path / "none") == []


@pytest.mark.parametrize("kept", [1, 4, 9, 40, -1])
def test_a_killed_run_loses_only_the_line_it_was_writing(tmp_path: Path, kept: int):
    path = tmp_path / "rows.jsonl"
    append_row(path, ROW)
    append_row(path, other(observation=4))
    body = path.read_bytes()
    start = body.index(b"\n") + 1
    path.write_bytes(body[:start] + body[start:][:kept])
    assert read_rows(path) == [ROW]
    append_row(path, other(observation=5))
    assert [row.observation for row in read_rows(path)] == [3, 5]


def test_a_resumed_run_repeats_what_differs_in_anything():
    rows = [
        ROW,
        other(observation=1),
        other(observation=2, task="sir"),
        other(observation=5, method="other"),
        other(observation=6, effort="fast"),
        other(observation=7, budget=999),
        other(observation=8, seed=1),
    ]
    assert finished(rows, "slcp", SETTING) == {1, 3}


WRONG = {
    "text": "hello\n",
    "text without an end": "hello",
    "another object": '{"a": 1}\n',
    "a list": "[1, 2]\n",
    "a type": json.dumps(dataclasses.asdict(ROW) | {"c2st": "high"}) + "\n",
    "a truth": json.dumps(dataclasses.asdict(ROW) | {"seed": True}) + "\n",
    "binary": "\x00\x01\n",
}


@pytest.mark.parametrize("name", WRONG)
def test_a_file_of_something_else_is_refused(tmp_path: Path, name: str):
    path = tmp_path / "rows.jsonl"
    append_row(path, ROW)
    path.write_text(path.read_text() + WRONG[name])
    with pytest.raises(DataError, match=r"rows\.jsonl, line 2: "):
        read_rows(path)


def test_what_cannot_be_written_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("precious")
    for path in (tmp_path / "file" / "rows.jsonl", tmp_path):
        with pytest.raises(StorageError, match=f"Cannot write {path}: "):
            make_file(path)
    with pytest.raises(StorageError, match=f"Cannot read {tmp_path}: "):
        read_rows(tmp_path)
    assert (tmp_path / "file").read_text() == "precious"
