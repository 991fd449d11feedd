"""The steps of a batch: what is read, what is refused, and what goes from one into another."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.rest.batch_errors import BatchInvalid, BatchReferenceMissing
from modules.rest.batch_steps import Answers, parse_steps


def body_of(*steps: Any) -> bytes:
    return json.dumps(steps).encode()


def test_a_step_has_defaults() -> None:
    [step] = parse_steps(b'[{"path":"/orders"}]', 1)
    assert (step.method, step.path, step.name, step.headers, bytes(step.body)) == (
        "GET",
        "/orders",
        None,
        {},
        b"",
    )


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "no list of steps"),
        (b"{}", "no list of steps"),
        (b"[]", "1 to 3 steps"),
        (body_of(*({"path": "/a"},) * 4), "this one has 4"),
        (b'[{"path":"a"}]', "no list of steps"),
        (b'[{"path":"/a","method":"OPTIONS"}]', "no list of steps"),
        (b'[{"path":"/a","verb":"GET"}]', "no list of steps"),
        (b'[{"path":"/a","name":"1"}]', "no list of steps"),
        (b'[{"path":"/a","name":"x"},{"path":"/b","name":"x"}]', "the name x"),
        (b'[{"path":"/a","headers":{"Authorization":"Bearer x"}}]', "Authorization"),
        (b'[{"path":"/a","headers":{"a b":"x"}}]', "HTTP does not allow"),
        (b'[{"path":"/a","headers":{"a":"x\\ny"}}]', "HTTP does not allow"),
        (b'[{"path":"/a","headers":{"a":"\\u2603"}}]', "characters"),
        (b'[{"path":"/a?id=eq.{$/b/0/id}","name":"a"},{"path":"/b","name":"b"}]', "no earlier step"),
        (b'[{"path":"/a","name":"a","body":{"x":{"$from":"/a/0"}}}]', "no earlier step"),
        (b'[{"path":"/a","body":[{"$from":"/0/id"}]}]', "no earlier step"),
        (b'[{"path":"/a","body":{"$from":"\xff"}}]', "cannot be read"),
        (b"[" * 100_000, "no list of steps"),
    ],
)
def test_what_is_no_batch(body: bytes, said: str) -> None:
    with pytest.raises(BatchInvalid, match=said):
        parse_steps(body, 3)


def filled(pointer: str, answer: Any) -> bytes:
    answers = Answers()
    answers.add(0, "first", json.dumps(answer).encode() if not isinstance(answer, bytes) else answer)
    _, step = parse_steps(
        body_of({"path": "/a", "name": "first"}, {"path": "/b", "body": {"x": {"$from": pointer}}}), 2
    )
    return answers.body(step)


@pytest.mark.parametrize(
    ("pointer", "answer", "expected"),
    [
        ("/first/0/id", [{"id": 7}], b'{"x":7}'),
        ("/0/0/id", [{"id": "a"}], b'{"x":"a"}'),
        ("/first/0", [{"id": 7}], b'{"x":{"id":7}}'),
        ("/first", [1], b'{"x":[1]}'),
        ("/first/*/id", [{"id": 1}, {"id": 2}], b'{"x":[1,2]}'),
        ("/first/0/a~1b/c~0d", [{"a/b": {"c~d": None}}], b'{"x":null}'),
        ("/first/price", b'{"price":1.10}', b'{"x":1.10}'),
        ("/first/big", b'{"big":12345678901234567890123}', b'{"x":12345678901234567890123}'),
    ],
)
def test_values_go_in_as_they_are(pointer: str, answer: Any, expected: bytes) -> None:
    assert filled(pointer, answer) == expected


@pytest.mark.parametrize(
    ("pointer", "answer"),
    [
        ("/first/1/id", [{"id": 7}]),
        ("/first/0/no", [{"id": 7}]),
        ("/first/0/id/x", [{"id": 7}]),
        ("/first/x", [1]),
        ("/first/*", {"a": 1}),
        ("/first/0", b""),
        ("/first/0", b"id\n7\n"),
    ],
)
def test_what_points_to_nothing(pointer: str, answer: Any) -> None:
    with pytest.raises(BatchReferenceMissing):
        filled(pointer, answer)


@pytest.mark.parametrize(
    ("path", "answer", "expected"),
    [
        ("/a?id=eq.{$/0/0/id}", [{"id": 7}], "/a?id=eq.7"),
        ("/a?id=in.({$/0/*/id})", [{"id": 7}, {"id": 8}], "/a?id=in.(7%2C8)"),
        ("/a?n=in.({$/0/*/n})", [{"n": 'a"b'}, {"n": "c\\d"}], "/a?n=in.(%22a%5C%22b%22%2C%22c%5C%5Cd%22)"),
        ("/a?n=eq.{$/0/n}", {"n": "a&b=c#é"}, "/a?n=eq.a%26b%3Dc%23%C3%A9"),
        ("/a?n=is.{$/0/n}", {"n": None}, "/a?n=is.null"),
        ("/a?n=is.{$/0/n}", {"n": True}, "/a?n=is.true"),
        ("/a?tags=cs.{1,2}", {}, "/a?tags=cs.{1,2}"),
    ],
)
def test_values_in_a_path(path: str, answer: Any, expected: str) -> None:
    answers = Answers()
    answers.add(0, None, json.dumps(answer).encode())
    assert answers.path(parse_steps(body_of({"path": "/x"}, {"path": path}), 2)[1]) == expected


def test_an_object_in_a_path() -> None:
    answers = Answers()
    answers.add(0, None, b'{"a":{}}')
    [_, step] = parse_steps(body_of({"path": "/x"}, {"path": "/a?x=eq.{$/0/a}"}), 2)
    with pytest.raises(BatchReferenceMissing):
        answers.path(step)


def test_a_literal() -> None:
    [_, step] = parse_steps(
        body_of({"path": "/x"}, {"path": "/a", "body": {"schema": {"$$from": "/0/a"}}}), 2
    )
    assert Answers().body(step) == b'{"schema":{"$from":"/0/a"}}'


def test_a_body_without_references_is_left_as_it_is() -> None:
    [step] = parse_steps(b'[{"path":"/a","body": {"x" : 1.0e2 , "$ref":"#/x"} }]', 1)
    assert Answers().body(step) == b'{"x" : 1.0e2 , "$ref":"#/x"}'


@given(
    st.binary(max_size=200) | st.text(max_size=100).map(lambda text: json.dumps([{"path": text}]).encode())
)
def test_any_bytes_are_steps_or_refused(body: bytes) -> None:
    try:
        steps = parse_steps(body, 3)
    except BatchInvalid:
        return
    assert 1 <= len(steps) <= 3
