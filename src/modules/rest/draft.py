"""`Draft`: a selection while parameters are still adding to it.

``select=`` gives the tree; ``orders.total=gt.100``, ``orders.order=``,
``orders.limit=`` and ``orders.or=`` then hang conditions, order and range on
the embed that their path names. Frozen, it is a `Selection`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct, field

from modules.query import (
    AllColumns,
    Column,
    Condition,
    Embed,
    EmbedNotSelected,
    Join,
    Order,
    Selection,
)

if TYPE_CHECKING:
    from collections.abc import Sequence


class Draft(Struct):
    """Mutable `Selection`."""

    items: list[Node]
    where: list[Condition] = field(default_factory=list)
    order: tuple[Order, ...] = ()
    limit: int | None = None
    offset: int | None = None
    outdated: list[tuple[str, str]] = field(default_factory=list)
    """On the top: names of relations whose embeds have an alias and were not named by it, and the alias."""

    def at(self, path: Sequence[str]) -> Draft:
        """Return the draft of the embed that ``path`` leads to.

        An alias counts before a relation's name.

        Raises:
            EmbedNotSelected: PGRST108.
        """
        here = self
        for name in path:
            embeds = [item for item in here.items if isinstance(item, DraftEmbed)]
            found = next((e for e in embeds if (e.alias or e.relation) == name), None)
            if found is None:
                found = next((e for e in embeds if e.relation == name), None)
                if found is None:
                    raise EmbedNotSelected(name)
                self.outdated.append((name, found.alias or name))
            here = found.draft
        return here

    def freeze(self) -> Selection:
        """Return the finished selection."""
        return Selection(
            items=tuple(item.freeze() if isinstance(item, DraftEmbed) else item for item in self.items),
            where=tuple(self.where),
            order=self.order,
            limit=self.limit,
            offset=self.offset,
        )


class DraftEmbed(Struct):
    """Mutable `Embed`."""

    relation: str
    draft: Draft
    alias: str | None = None
    hint: str | None = None
    join: Join | None = None
    spread: bool = False

    def freeze(self) -> Embed:
        return Embed(self.relation, self.draft.freeze(), self.alias, self.hint, self.join, self.spread)


Node: TypeAlias = AllColumns | Column | DraftEmbed
