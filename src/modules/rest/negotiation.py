"""The representation that is made, once the catalog is known.

Source: PostgREST 16, ``Plan/Negotiate.hs``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from modules.query import MediaHandler, Read
from modules.rest.media import find_media

if TYPE_CHECKING:
    from modules.query import Compiler
    from modules.rest.request import ApiRequest


def negotiate(request: ApiRequest, compiler: Compiler) -> ApiRequest:
    """Return ``request`` with the custom media type that the client would rather have, if there is one.

    Raises:
        QueryProblem: A call means no function, or several.
    """
    handlers = compiler.handlers(request.asked)
    if handlers is None:
        return request
    media = find_media(request.head.accept, handlers)
    if media is request.media:
        return request
    asked = request.asked
    if isinstance(media.shape, MediaHandler):
        asked = replace(asked, strip_nulls=False)
        if request.head.method != "HEAD":
            asked = replace(asked, shape=media.shape)
        if not isinstance(asked, Read):
            asked = replace(asked, is_single=False)
    return replace(request, asked=asked, head=replace(request.head, media=media))
