"""The few verbs added to advanced-alchemy's repository.

Names keep a promise: ``get_*`` raises, ``find_*`` may return None, ``list_*``
returns a sequence. SQLAlchemy's exceptions pass through unwrapped, because the
unit of work has to see a lost connection for what it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from advanced_alchemy.repository import SQLAlchemyAsyncRepository
from sqlalchemy import ColumnElement, select

from monohull.kernel.database.base import Base
from monohull.kernel.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy.exc import IntegrityError
    from sqlalchemy.ext.asyncio import AsyncSession

M = TypeVar("M", bound=Base)


class Repository(SQLAlchemyAsyncRepository[M]):
    """Queries of one table. Subclasses set ``model_type`` and add what they ask by name.

    Args:
        session: Of the unit of work; the repository never commits.
    """

    def __init__(self, session: AsyncSession) -> None:
        super().__init__(session=session, wrap_exceptions=False, auto_commit=False)

    async def find_by_id(self, row_id: UUID) -> M | None:
        return await self.session.get(self.model_type, row_id)

    async def get_by_id(self, row_id: UUID) -> M:
        """Return the row.

        Raises:
            NotFound: 404, with the kind of thing and its id.
        """
        if (row := await self.find_by_id(row_id)) is None:
            raise self.absent(f"no {self.noun} has the id {row_id}")
        return row

    async def find_by(self, *conditions: ColumnElement[bool], **values: Any) -> M | None:
        """Return the one row for which all hold.

        Raises:
            sqlalchemy.exc.MultipleResultsFound: The conditions do not name one row: a defect of the caller.
        """
        statement = select(self.model_type).where(*conditions).filter_by(**values)
        return (await self.session.scalars(statement)).one_or_none()

    async def get_by(self, *conditions: ColumnElement[bool], **values: Any) -> M:
        """Like `find_by`.

        Raises:
            NotFound: 404; the message does not repeat the values, which may be secret.
        """
        if (row := await self.find_by(*conditions, **values)) is None:
            raise self.absent(f"no such {self.noun}")
        return row

    async def list_by(
        self,
        *conditions: ColumnElement[bool],
        order_by: Sequence[Any] = (),
        limit: int | None = None,
        **values: Any,
    ) -> Sequence[M]:
        """Return every row for which all hold; ``order_by`` takes columns, ``limit`` a number of rows."""
        statement = select(self.model_type).where(*conditions).filter_by(**values).order_by(*order_by)
        return (await self.session.scalars(statement.limit(limit))).all()

    @property
    def noun(self) -> str:
        """What a row is called in messages: the table's name in the singular."""
        return str(self.model_type.__tablename__).removesuffix("s").replace("_", " ")

    def absent(self, message: str) -> NotFound:
        return NotFound(message)


def violated_constraint(error: IntegrityError) -> str | None:
    """Return the name of the constraint that refused the row, as `base.NAMING` made it."""
    cause = error.orig.__cause__ if error.orig is not None else None
    name = getattr(cause, "constraint_name", None)
    return name if isinstance(name, str) else None
