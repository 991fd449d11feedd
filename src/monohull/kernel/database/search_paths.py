"""Our functions look at temporary objects last.

Where a function's ``search_path`` does not name ``pg_temp``, PostgreSQL looks there first for
types and relations, also where the path is empty. Everybody may make a domain ``pg_temp.text``
whose check is a function of theirs; in a function that runs as its owner, a plain ``::text``
would run that as the owner too. So each function in our schema gets a path that
ends with ``pg_temp``, whichever revision made it.

Source: PostgreSQL, "Writing SECURITY DEFINER Functions Safely".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sqlalchemy import Connection

_PIN: Final = """
do $$
declare
    one record;
begin
    for one in
        select p.oid::regprocedure as function from pg_proc as p
        where p.pronamespace = 'monohull'::regnamespace and p.proconfig @> array['search_path=""']
            and pg_has_role(p.proowner, 'usage')
    loop
        execute format('alter function %s set search_path = pg_catalog, pg_temp', one.function);
    end loop;
end
$$
"""


def pin(connection: Connection) -> None:
    """Give every function whose path is empty one that names ``pg_temp`` last."""
    connection.exec_driver_sql(_PIN)
