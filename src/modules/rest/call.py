"""``/rpc/<function>`` → `Call` and its values.

    GET, HEAD   each parameter that is no filter is an argument, as text
    POST        application/json                     an object of arguments, or one unnamed json argument
                application/x-www-form-urlencoded    arguments, as text
                text/csv                             a header line of names, and one line
                text/plain, text/xml, application/octet-stream    one unnamed argument

Source: PostgREST 16, ``ApiRequest.hs``, ``ApiRequest/Payload.hs`` and ``Plan.hs``, ``callReadPlan``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from modules.query import Argument, Call, Content
from modules.rest.body import parse_body
from modules.rest.parameters import split_query

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from modules.rest.head import Head
    from modules.rest.parameters import Parameters

RAW: Final[Mapping[str, Content]] = {
    "text/plain": "text",
    "text/xml": "xml",
    "application/octet-stream": "octets",
}
FORM: Final = "application/x-www-form-urlencoded"

Values = list[str | bytes]


def parse_call(
    head: Head, parameters: Parameters, raw: bytes, *, max_rows: int | None
) -> tuple[Call, Sequence[str | bytes]]:
    """Return the call and its values by slot.

    Raises:
        BodyInvalid: PGRST102.
    """
    values: Values = [*parameters.values]
    is_read = head.method != "POST"
    content: Content = "none"
    arguments, keys = parameters.arguments, cast("tuple[str, ...]", ())
    body: int | None = None
    is_list = False
    if not is_read:
        content, arguments, body, keys, is_list = _parse_body(head, raw, parameters, values)
    preferences = head.preferences
    return Call(
        schema=head.schema,
        function=head.name,
        selection=parameters.selection,
        arguments=arguments,
        content=content,
        body=body,
        keys=keys,
        is_list=is_list,
        is_read=is_read,
        is_single=head.media.shape == "object" and not is_read,
        max_affected=None if preferences.max_affected is None else _slot(values, preferences.max_affected),
        shape="none" if head.method == "HEAD" else head.media.shape,
        count="exact" if preferences.count in ("exact", "estimated") else None,
        strip_nulls=head.media.strip_nulls,
        max_rows=max_rows,
    ), values


def _parse_body(
    head: Head, raw: bytes, parameters: Parameters, values: Values
) -> tuple[Content, tuple[Argument, ...], int | None, tuple[str, ...], bool]:
    media = head.content_type.partition(";")[0].strip().lower()
    if (content := RAW.get(media)) is not None:
        return (
            content,
            (),
            _slot(values, b"\\x" + raw.hex().encode() if content == "octets" else raw),
            (),
            False,
        )
    if media == FORM:
        return "named", gather(split_query(raw), values), None, (), False
    found = parse_body(raw or b"{}", media, parameters.columns)
    keys = tuple(sorted(found.columns))
    content = "named" if media == "text/csv" else "json"
    return content, (), _slot(values, found.document), keys, found.is_list


def gather(pairs: Iterable[tuple[str, str]], values: Values) -> tuple[Argument, ...]:
    """Return each name with the slots of its texts, in the order of names."""
    slots: dict[str, tuple[int, ...]] = {}
    for name, value in pairs:
        slots[name] = (*slots.get(name, ()), _slot(values, value))
    return tuple(Argument(name, slots[name]) for name in sorted(slots))


def _slot(values: Values, value: str | bytes) -> int:
    values.append(value)
    return len(values) - 1
