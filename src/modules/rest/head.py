"""`Head`: what the request line and the headers of a data request say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from msgspec import Struct

if TYPE_CHECKING:
    from modules.rest.media import Media
    from modules.rest.preferences import Preferences
    from modules.rest.ranges import Page

PREFIX: Final = "/rest/v1"

Kind: TypeAlias = Literal["relation", "function", "root"]


class Head(Struct, frozen=True):
    """What the request line and the headers say.

    Attributes:
        method: In capitals.
        kind: What the path names.
        name: Its name.
        schema: The one that the profile chose.
        preferences: The client's wishes.
        accept: What representations the client takes.
        media: The one that is made, as far as the catalog has no say in it.
        content_type: Of the body, empty without.
        range_page: Rows that the ``Range`` header asks for.
        is_profiled: There is more than one schema, so the answer says which.
    """

    method: str
    kind: Kind
    name: str
    schema: str
    preferences: Preferences
    accept: str
    media: Media
    content_type: str
    range_page: Page
    is_profiled: bool
