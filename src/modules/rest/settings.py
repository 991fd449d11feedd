"""Settings of the data API. Names and meanings are those of PostgREST's ``db-*`` settings."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct


class RestSettings(Struct, frozen=True, kw_only=True):
    """``MONOHULL_REST_*``; what PostgREST has and is not here is not honoured yet, and refused."""

    prefix: ClassVar[str] = "REST_"

    schemas: Annotated[
        tuple[str, ...], Meta(min_length=1, description="Exposed schemas; the first is the default one.")
    ] = ("public",)
    extra_search_path: Annotated[
        tuple[str, ...], Meta(description="Schemas that follow the exposed one in the search path.")
    ] = ("public", "extensions")
    anon_role: Annotated[
        str, Meta(min_length=1, description="Database role of requests without a credential.")
    ] = "anon"
    max_rows: Annotated[
        int | None, Meta(ge=0, description="Most rows of one answer and of each embed; unset: no ceiling.")
    ] = 1000
    aggregates: Annotated[bool, Meta(description="Whether sum(), avg(), count() and so on may be used.")] = (
        True
    )
    expose: Annotated[
        Literal["secure", "grants"],
        Meta(description="secure: what has no row level security is closed until it is declared public."),
    ] = "secure"
    public_tables: Annotated[
        tuple[str, ...],
        Meta(description="Relations declared public, as schema.name; public.name may be name."),
    ] = ()
    api_key_required: Annotated[
        bool | None,
        Meta(description="Whether a key or token is demanded. Unset: in production."),
    ] = None

    def demands_key(self, *, is_production: bool) -> bool:
        """Say whether a request without a credential is refused."""
        return is_production if self.api_key_required is None else self.api_key_required

    @property
    def public_keys(self) -> frozenset[tuple[str, str]]:
        """`public_tables` as schema and name."""
        pairs = (name.partition(".") for name in self.public_tables)
        return frozenset((schema, name) if dot else ("public", schema) for schema, dot, name in pairs)
