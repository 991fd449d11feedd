"""Frames, statements and settings, without a server."""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monohull.kernel.database.exchange import WRITE_AT_ONCE_BYTES, pieces
from monohull.kernel.database.frames import (
    LARGE_BYTES,
    MAX_PARAMETERS,
    FrameReader,
    PostgresError,
    ProtocolViolation,
    bind_head,
    encode_bind,
    encode_bound,
    encode_close,
    encode_message,
    encode_parse,
    encode_value,
    read_columns,
    read_fields,
    read_parameter,
    read_row,
    read_row_head,
    read_single_row,
)
from monohull.kernel.database.statements import Prepared, Statement, StatementCache, settings_sql
from monohull.kernel.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Callable

MESSAGES = st.lists(st.tuples(st.sampled_from(list(b"DCZET12nNS")), st.binary(max_size=60)), max_size=20)


def read_all(chunks: list[bytes]) -> list[tuple[int, bytes]]:
    found: list[tuple[int, bytes]] = []
    reader = FrameReader(lambda kind, data, start, stop: found.append((kind, data[start:stop])))
    for chunk in chunks:
        reader.feed(chunk)
    return found


@given(MESSAGES, st.data())
def test_any_cut_of_the_stream_gives_the_same_messages(
    messages: list[tuple[int, bytes]], data: st.DataObject
) -> None:
    stream = b"".join(encode_message(bytes([kind]), payload) for kind, payload in messages)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=30)))
    edges = [0, *cuts, len(stream)]
    chunks = [stream[start:stop] for start, stop in pairwise(edges)]
    assert read_all(chunks) == messages


@given(MESSAGES)
def test_a_byte_at_a_time(messages: list[tuple[int, bytes]]) -> None:
    stream = b"".join(encode_message(bytes([kind]), payload) for kind, payload in messages)
    assert read_all([bytes([byte]) for byte in stream]) == messages


@given(
    st.lists(st.tuples(st.sampled_from(list(b"DC")), st.integers(0, 3), st.booleans()), max_size=6),
    st.data(),
)
def test_large_messages_are_passed_on_in_any_cut(
    messages: list[tuple[int, int, bool]], data: st.DataObject
) -> None:
    """Every message goes out once, whether it is gathered or passed on, and whatever is behind it."""
    found: list[tuple[int, bytes]] = []
    wanted = [
        (kind, bytes([65 + at]) * (size * LARGE_BYTES // 2)) for at, (kind, size, _) in enumerate(messages)
    ]

    def offer(kind: int, size: int) -> Callable[[bytes], None] | None:
        at = len(found)
        assert size == len(wanted[at][1]) > LARGE_BYTES - 4
        if not messages[at][2]:
            return None
        found.append((kind, b""))

        def take(piece: bytes) -> None:
            found[at] = (kind, found[at][1] + piece)

        return take

    reader = FrameReader(lambda kind, part, start, stop: found.append((kind, part[start:stop])), offer)
    stream = b"".join(encode_message(bytes([kind]), payload) for kind, payload in wanted)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=12))
    for start, stop in pairwise([0, *sorted(cuts), len(stream)]):
        reader.feed(stream[start:stop])
    assert (found, reader.is_between) == (wanted, True)


@given(st.lists(st.none() | st.binary(max_size=20), min_size=1, max_size=6))
def test_the_head_of_a_row(values: list[bytes | None]) -> None:
    payload = row_of(*values)[5:]
    at = len(payload) - len(values[-1] or b"")
    assert read_row_head(payload) == (tuple(values[:-1]), at)
    for stop in range(len(payload)):
        assert read_row_head(payload[:stop]) == ((tuple(values[:-1]), at) if stop >= at else None)


def test_a_message_of_many_chunks_is_joined_once() -> None:
    payload = bytes(8 * 1024 * 1024)
    stream = encode_message(b"D", payload)
    chunks = [stream[at : at + 4096] for at in range(0, len(stream), 4096)]
    assert read_all(chunks) == [(ord("D"), payload)]


@pytest.mark.parametrize("length", [-1, 0, 3])
def test_an_impossible_length_is_a_violation(length: int) -> None:
    with pytest.raises(ProtocolViolation, match="claims"):
        read_all([b"D" + struct.pack("!i", length) + b"xxxx"])


@given(st.lists(st.none() | st.binary(max_size=40), max_size=8))
def test_rows(values: list[bytes | None]) -> None:
    body = struct.pack("!H", len(values))
    for value in values:
        body += struct.pack("!i", -1) if value is None else struct.pack("!i", len(value)) + value
    assert read_row(b"before" + body, 6) == tuple(values)


def test_columns_fields_and_parameters() -> None:
    tail = bytes(18)
    assert read_columns(b"\0\2id\0" + tail + "naïve".encode() + b"\0" + tail, 0) == ("id", "naïve")
    assert read_fields(b"SFEHLER\0VERROR\0M\xff\0\0", 0) == {"S": "FEHLER", "V": "ERROR", "M": "�"}
    assert read_parameter(b"TimeZone\0UTC\0", 0) == ("TimeZone", "UTC")


@given(
    st.lists(
        st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.binary(max_size=20)
    )
)
def test_bind_says_its_own_length(args: list[str | bytes | None]) -> None:
    parts: list[bytes] = []
    size = encode_bind(parts, b"m1", args)
    wire = b"".join(parts)
    assert size == len(wire)
    [bind, execute] = read_all([wire])
    assert chr(bind[0]) == "B"
    assert execute == (ord("E"), b"\0\0\0\0\0")
    encoded = [value.encode() if isinstance(value, str) else value for value in args]
    assert read_row(bind[1], len(b"\0m1\0\0\0")) == tuple(encoded)


def test_bind_takes_large_bytes_as_they_are() -> None:
    body = bytes(1000)
    parts: list[bytes] = []
    encode_bind(parts, b"", [body])
    assert any(part is body for part in parts)


def test_text_that_is_no_unicode_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="not valid Unicode"):
        encode_bind([], b"", ["\ud800"])
    with pytest.raises(InvalidRequest):
        encode_parse(b"", "select '\ud800'", describe=True)


def test_too_many_parameters_are_refused() -> None:
    encode_bind([], b"", [None] * MAX_PARAMETERS)
    with pytest.raises(InvalidRequest, match="65536 parameters"):
        encode_bind([], b"", [None] * (MAX_PARAMETERS + 1))


def test_parse_describes_when_columns_are_wanted() -> None:
    assert [chr(kind) for kind, _ in read_all([encode_parse(b"m1", "select 1", describe=True)])] == ["P", "D"]
    assert [chr(kind) for kind, _ in read_all([encode_parse(b"m1", "select 1", describe=False)])] == ["P"]


def test_settings_are_values_and_their_names_are_checked() -> None:
    sql = settings_sql(["role", "request.jwt.claims"])
    assert sql == (
        "select where pg_catalog.num_nulls(pg_catalog.set_config('role',$1,true),"
        "pg_catalog.set_config('request.jwt.claims',$2,true)) < 0"
    )
    for name in ("", "a'b", "a b", "a.", "ä", "x\\"):
        with pytest.raises(ValueError, match="not the name of a setting"):
            settings_sql([name])


@pytest.mark.parametrize(
    ("fields", "fatal", "outage", "stale"),
    [
        ({"C": "22012", "V": "ERROR"}, False, False, False),
        ({"C": "57P01", "V": "FATAL"}, True, True, False),
        ({"C": "57014", "V": "ERROR"}, False, False, False),
        ({"C": "53300", "V": "FATAL"}, True, True, False),
        ({"C": "26000", "V": "ERROR"}, False, False, True),
        ({"C": "0A000", "V": "ERROR", "R": "RevalidateCachedQuery"}, False, False, True),
        ({"C": "0A000", "V": "ERROR", "R": "transformOnConflict"}, False, False, False),
        ({"S": "PANIC"}, True, False, False),
    ],
)
def test_what_an_error_means(fields: dict[str, str], *, fatal: bool, outage: bool, stale: bool) -> None:
    error = PostgresError(fields)
    assert (error.is_fatal, error.is_outage, error.is_stale_statement) == (fatal, outage, stale)


def keep(cache: StatementCache, key: str, sql: str = "") -> Prepared:
    prepared = cache.make(key, sql or key, describe=False)
    prepared.is_parsed = True
    cache.keep({key: prepared})
    return prepared


def test_the_least_recently_used_statement_is_closed() -> None:
    cache = StatementCache(2)
    first, second = keep(cache, "a"), keep(cache, "b")
    assert cache.find("a", "a") is first
    keep(cache, "c")
    assert len(cache) == 2
    assert cache.find("b", "b") is None
    assert cache.take_closes() == [encode_close(second.name)]
    assert cache.take_closes() == []


def test_a_key_with_another_text_is_another_statement() -> None:
    cache = StatementCache(2)
    first = keep(cache, "a", "select 1")
    assert cache.find("a", "select 2") is None
    second = keep(cache, "a", "select 2")
    assert cache.find("a", "select 2") is second
    assert cache.discarded == [first.name]


def test_what_was_not_parsed_is_not_kept() -> None:
    cache = StatementCache(2)
    cache.keep({"a": cache.make("a", "a", describe=True)})
    assert (len(cache), cache.discarded) == (0, [])


def test_what_was_parsed_but_not_described_is_closed() -> None:
    cache = StatementCache(2)
    prepared = cache.make("a", "a", describe=True)
    prepared.is_parsed = True
    cache.keep({"a": prepared})
    assert (len(cache), cache.discarded) == (0, [prepared.name])


def test_forgetting_closes_everything() -> None:
    cache = StatementCache(2)
    first = keep(cache, "a")
    cache.forget()
    assert (len(cache), cache.discarded) == (0, [first.name])


NAMES = ("role",)


def keep_settings(cache: StatementCache) -> Prepared:
    prepared = cache.make(NAMES, None, describe=False)
    prepared.is_parsed = True
    cache.keep({NAMES: prepared})
    return prepared


def test_settings_and_a_statement_are_a_pair_once_both_are_known() -> None:
    cache = StatementCache(4)
    asked = Statement("select $1", [b"x"], "a")
    assert cache.find_pair(NAMES, asked) is None
    settings = keep_settings(cache)
    assert cache.find_pair(NAMES, asked) is None
    prepared = keep(cache, "a", "select $1")
    pair = cache.find_pair(NAMES, asked)
    assert pair is not None
    assert pair.steps == [settings, prepared]
    assert pair.applied == bind_head(settings.name, 1)
    assert pair.asked == bind_head(prepared.name, 1)
    assert cache.find_pair(NAMES, asked) is pair


def test_a_pair_is_of_one_text_of_so_many_parameters_and_of_these_settings() -> None:
    cache = StatementCache(4)
    keep_settings(cache)
    keep(cache, "a", "select $1")
    assert cache.find_pair(NAMES, Statement("select $1", [b"x"], "a")) is not None
    assert cache.find_pair(NAMES, Statement("select $2", [b"x"], "a")) is None
    assert cache.find_pair(("role", "search_path"), Statement("select $1", [b"x"], "a")) is None
    other = cache.find_pair(NAMES, Statement("select $1", [b"x", b"y"], "a"))
    assert other is not None
    assert other.count == 2


@pytest.mark.parametrize("is_forgotten", [True, False])
def test_a_pair_goes_with_its_statement(*, is_forgotten: bool) -> None:
    cache = StatementCache(2)
    keep_settings(cache)
    keep(cache, "a", "select 1")
    asked = Statement("select 1", (), "a")
    assert cache.find_pair(NAMES, asked) is not None
    if is_forgotten:
        cache.forget()
    else:
        cache.find(NAMES, None)
        keep(cache, "b", "select 2")
    assert cache.find_pair(NAMES, asked) is None


def test_what_is_discarded_is_closed_before_another_pair_is_used() -> None:
    cache = StatementCache(2)
    keep(cache, "a", "select 1")
    keep_settings(cache)
    keep(cache, "b", "select 2")
    asked = Statement("select 2", (), "b")
    assert cache.find_pair(NAMES, asked) is None
    cache.take_closes()
    assert cache.find_pair(NAMES, asked) is not None


def test_using_a_pair_keeps_it_longer() -> None:
    cache = StatementCache(3)
    keep_settings(cache)
    keep(cache, "a", "select 1")
    keep(cache, "b", "select 2")
    for _ in range(2):
        assert cache.find_pair(NAMES, Statement("select 1", (), "a")) is not None
    keep(cache, "c", "select 3")
    assert (cache.find("b", "select 2"), cache.find("a", "select 1") is not None) == (None, True)


def test_without_room_every_statement_is_unnamed() -> None:
    assert StatementCache(0).make("a", "select 1", describe=True).name == b""
    assert StatementCache(9).make("", "select 1", describe=True).name == b""


@given(st.lists(st.integers(0, 5).map(lambda n: bytes([n]) * (n * n * WRITE_AT_ONCE_BYTES // 9)), max_size=8))
def test_pieces_are_the_whole_and_none_is_large(parts: list[bytes]) -> None:
    cut = list(pieces(parts))
    assert b"".join(cut) == b"".join(parts)
    assert all(len(piece) <= 2 * WRITE_AT_ONCE_BYTES for piece in cut)


@given(st.lists(st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"]))))
def test_bound_values_are_bound_as_values(args: list[str]) -> None:
    plain: list[bytes] = []
    bound: list[bytes] = []
    size = encode_bind(plain, b"m1", args)
    assert encode_bound(bound, b"m1", len(args), b"".join(map(encode_value, args))) == size
    assert b"".join(bound) == b"".join(plain)
    assert size == len(b"".join(plain))


def row_of(*values: bytes | None) -> bytes:
    cells = (b"\xff\xff\xff\xff" if v is None else struct.pack("!i", len(v)) + v for v in values)
    return encode_message(b"D", struct.pack("!H", len(values)) + b"".join(cells))


BOUND = encode_message(b"2", b"")
USUAL = (BOUND, encode_message(b"C", b"SELECT 0\0"), BOUND)
END = (encode_message(b"C", b"SELECT 1\0"), encode_message(b"Z", b"I"))


@given(st.lists(st.none() | st.binary(max_size=50), max_size=6), st.sampled_from(["SELECT 1", "INSERT 0 1"]))
def test_the_usual_answer_is_read_at_once(values: list[bytes | None], tag: str) -> None:
    end = (encode_message(b"C", tag.encode() + b"\0"), END[1])
    answer = b"".join((*USUAL, row_of(*values), *end))
    assert read_single_row(answer) == (tuple(values), len(answer), tag)
    assert read_single_row(answer + answer, len(answer)) == (tuple(values), 2 * len(answer), tag)


def test_so_is_one_without_a_row() -> None:
    answer = b"".join((*USUAL, encode_message(b"C", b"SELECT 0\0"), END[1]))
    assert read_single_row(answer) == (None, len(answer), "SELECT 0")
    assert read_single_row(answer + answer, len(answer)) == (None, 2 * len(answer), "SELECT 0")
    assert all(read_single_row(answer[:at]) is None for at in range(len(answer)))


@pytest.mark.parametrize(
    "messages",
    [
        (*USUAL, *END),
        (*USUAL, encode_message(b"C", b"SELECT 0\0"), encode_message(b"Z", b"E")),
        (*USUAL, row_of(b"1"), row_of(b"2"), *END),
        (*USUAL, row_of(b"1"), END[0], encode_message(b"Z", b"E")),
        (*USUAL, row_of(b"1"), END[0]),
        (*USUAL, row_of(b"1"), encode_message(b"C", b"INSERT 0 0\0"), END[1]),
        (*USUAL, row_of(b"1"), encode_message(b"C", b"UPDATE 1\0"), END[1]),
        (*USUAL, row_of(b"1")),
        (BOUND, encode_message(b"C", b"SELECT 1\0"), BOUND, row_of(b"1"), *END),
        (encode_message(b"1", b""), *USUAL, row_of(b"1"), *END),
        (*USUAL, row_of(b"1"), encode_message(b"N", b"\0"), *END),
        (*USUAL, encode_message(b"E", b"C42501\0\0"), encode_message(b"Z", b"I")),
    ],
)
def test_every_other_answer_is_left_to_the_reader(messages: tuple[bytes, ...]) -> None:
    assert read_single_row(b"".join(messages)) is None


def test_so_is_an_answer_that_is_not_whole() -> None:
    stream = b"".join((*USUAL, row_of(b"12", None), *END))
    assert all(read_single_row(stream[:at]) is None for at in range(len(stream)))
