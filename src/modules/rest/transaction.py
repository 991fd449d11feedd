"""What a request tells the database about itself, and how its transaction ends.

Policies and functions read the settings: ``current_setting('request.jwt.claims')``,
``request.headers``, ``request.cookies``, ``request.method``, ``request.path``.

Source: PostgREST, "Transactions", section "Request Headers, Cookies and JWT claims".
"""

from __future__ import annotations

from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from modules.query import INSERTED, Mutation, Transaction
from modules.rest.config import NOTHING, Config, RoleSettings
from modules.rest.guc import CLEARED
from modules.rest.head import PREFIX, Head
from monohull.kernel.database.role import COOKIE, SettingsTemplate, settings_template
from monohull.kernel.database.statements import BoundSettings, Statement

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from modules.rest.request import ApiRequest
    from monohull.kernel.header_sets import HeaderSet
    from monohull.kernel.principal import Principal


def begin_transaction(  # noqa: PLR0913 each is its own matter
    scope: Mapping[str, Any],
    request: Head,
    principal: Principal,
    search_path: str,
    *,
    read_only: bool,
    config: Config,
    routine: Sequence[tuple[str, str]] = (),
) -> Transaction:
    """Return the transaction of a request by ``principal``.

    Args:
        scope: ASGI's.
        request: Its line and headers.
        principal: Who asks.
        search_path: Quoted.
        read_only: A write is an error.
        config: What the roles bring, what runs before, and how it ends when the client does not say.
        routine: Settings of the function that is called; those that are hoisted hold for all of it.

    Raises:
        InvalidRequest: A header holds a zero byte.
    """
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    hoisted = config.hoist(routine) if routine else NOTHING
    role = config.of_role(principal.role)
    template = template_of(
        scope, request, principal.role, search_path, read_only=read_only, config=config, hoisted=hoisted
    )
    plan_key = f"{principal.role}.{request.schema}"
    before = config.pre_request
    return Transaction(
        bind_settings(template, principal, headers, scope["state"]["headers"]),
        plan_key,
        before=() if before is None else (Statement(before, (), f"before.{plan_key}.{before}"),),
        commit=_commits(request, rolls_back=config.settings.rolls_back, read_only=read_only),
        isolation=hoisted.isolation or role.isolation or (config.read_isolation if read_only else None),
    )


def counting_anew(transaction: Transaction, request: ApiRequest) -> Transaction:
    """Have an upsert in the midst of a transaction count its own rows, and not those of earlier ones too."""
    asked = request.asked
    if not isinstance(asked, Mutation) or asked.conflict is None:
        return transaction
    return replace(transaction, settings=(*transaction.settings, (INSERTED, "")))


def bind_settings(
    template: SettingsTemplate, principal: Principal, headers: Sequence[tuple[bytes, bytes]], known: HeaderSet
) -> BoundSettings:
    """Return the settings of one request; the same request by the same principal has the same ones.

    Raises:
        InvalidRequest: A header holds a zero byte.
    """
    kept = known.notes.get(id(template))
    if kept is not None and kept[0] is template and kept[1] is principal:
        bound: BoundSettings = kept[2]
        return bound
    bound = template.fill(principal, headers, read_cookies(headers))
    known.note(id(template), (template, principal, bound))  # held, so that the template's id stays its own
    return bound


def template_of(  # noqa: PLR0913 each is its own matter
    scope: Mapping[str, Any],
    request: Head,
    role: str,
    search_path: str,
    *,
    read_only: bool,
    config: Config,
    hoisted: RoleSettings = NOTHING,
) -> SettingsTemplate:
    """Return the settings of a transaction of ``role``, as far as they do not depend on who asks."""
    timezone = request.preferences.timezone
    return settings_template(
        method=scope["method"],
        path=scope["path"].removeprefix(PREFIX) or "/",
        search_path=search_path,
        read_only=read_only,
        timeout_ms=config.timeout_ms,
        more=(
            *CLEARED,
            *config.of_role(role).settings,
            *((("timezone", timezone),) if timezone is not None else ()),
            *hoisted.settings,
            *config.app_settings,
        ),
    )


def _commits(request: Head, *, rolls_back: bool, read_only: bool) -> bool:
    """Say whether the end is COMMIT; for what only reads it makes no difference, and is quicker."""
    wish = request.preferences.tx
    return read_only or (not rolls_back if wish is None else wish == "commit")


def read_cookies(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return the cookies of a request; none where the header is malformed."""
    found: dict[str, str] = {}
    for name, value in headers:
        if name == COOKIE:
            try:
                parsed = SimpleCookie(value.decode("latin-1"))
            except CookieError:
                continue
            found |= {key: morsel.value for key, morsel in parsed.items()}
    return found
