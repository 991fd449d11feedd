"""``application/vnd.pgrst.plan``: the database's plan of the statement in place of its result.

    application/vnd.pgrst.plan                                             as text
    application/vnd.pgrst.plan+json; for="text/csv"; options=analyze|verbose

Source: PostgREST 16, ``MediaType.hs``, ``parsePlan`` and ``explainF``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping

NAMES: Final[Mapping[str, Literal["text", "json"]]] = {
    "application/vnd.pgrst.plan": "text",
    "application/vnd.pgrst.plan+text": "text",
    "application/vnd.pgrst.plan+json": "json",
}
OPTIONS: Final = ("analyze", "verbose", "settings", "buffers", "wal")
DEFAULT_FOR: Final = "application/json"


class Explain(Struct, frozen=True):
    """How a plan is wanted.

    Attributes:
        form: What it is written in.
        options: Of EXPLAIN, in the order of `OPTIONS`.
        made: Media type of what the statement makes, without ``charset``.
    """

    form: Literal["text", "json"]
    options: tuple[str, ...] = ()
    made: str = DEFAULT_FOR

    @property
    def clause(self) -> str:
        """What stands between EXPLAIN and the statement."""
        words = [option.upper() for option in self.options]
        return f"EXPLAIN ({', '.join([*words, f'FORMAT {self.form.upper()}'])})"

    @property
    def media_type(self) -> str:
        """The media type in full, without ``charset``."""
        options = f"; options={'|'.join(self.options)}" if self.options else ""
        return f'application/vnd.pgrst.plan+{self.form}; for="{self.made}"{options}'

    @property
    def content_type(self) -> str:
        return f"{self.media_type}; charset=utf-8"


def read_explain(name: str, parameters: Mapping[str, str], made: str) -> Explain | None:
    """Return what a media range asks for, or None when it is none of ours.

    Args:
        name: The range without parameters.
        parameters: In small letters.
        made: Media type that ``for`` names, as it is called here.
    """
    form = NAMES.get(name)
    if form is None:
        return None
    wanted = parameters.get("options", "").split("|")
    return Explain(form, tuple(option for option in OPTIONS if option in wanted), made)
