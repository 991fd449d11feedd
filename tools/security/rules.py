"""Rules of our own about the source, for promises that no general linter knows.

    python -m tools.security.rules [PATH…]

Prints ``path:line: rule: message`` for each place and exits 1 when there is one.
Works on the syntax tree alone: nothing is imported, nothing is downloaded. Places
that are right all the same are in ``exceptions.toml``, each with its reason.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from tools.security.places import SOURCE, Place, exceptions, unexcused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

QUOTING: Final = frozenset(
    {"identifier", "literal", "quote_name", "quoted", "quoted_search_path", "quote_ident", "quote_literal"}
    | {"table_of", "int", "len"}
)
"""Functions whose result may be a part of SQL text."""

DDL: Final = re.compile(
    r"\s*(alter|call|comment\s+on|copy|create|drop|grant|listen|lock|notify|refresh|reset|revoke|"
    r"set\s+(local\s+|session\s+)?(role|authorization)|truncate|unlisten)\b",
    re.IGNORECASE,
)
"""Statements that ruff's S608 does not know; it looks after select, insert, update, delete and with."""

ACCESS: Final = re.compile(
    r"(^|_)(allowed|allows|authenticated|authorized|forbidden|permission|permissions|permitted|principal)(_|$)"
    r"|^(may|can)_|^is_(admin|owner|staff|superuser)$"
)
SECRETS: Final = re.compile(
    r"(^|_)(digest|hmac|mac|otp|password|secret|signature|token|token_hash)$", re.IGNORECASE
)
HTTP: Final = ("httpx", "requests", "aiohttp", "urllib.request", "urllib3", "http.client")
CLIENTS: Final = frozenset(
    {"AsyncClient", "Client", "AsyncHTTPTransport", "HTTPTransport", "ClientSession", "Session"}
    | {"get", "post", "put", "patch", "delete", "head", "request", "stream", "urlopen", "HTTPConnection"}
    | {"HTTPSConnection", "PoolManager"}
)
OUTBOUND: Final = "monohull/kernel/outbound/"
ENVIRONMENT: Final = (
    "monohull/cli/",
    "monohull/asgi.py",
    "monohull/worker.py",
    "monohull/kernel/supervisor/",
)
RANDOM_NAMES: Final = re.compile(r"(code|key|nonce|otp|password|salt|secret|token)", re.IGNORECASE)


Found: TypeAlias = "Iterator[tuple[int, str, str]]"
"""Line, what is there, and what to do."""
Rule: TypeAlias = "Callable[[ast.AST, str], Found]"


def sql_text(node: ast.AST, _: str) -> Found:
    """SQL that is no query is put together from constants and quoted names only."""
    if not isinstance(node, ast.JoinedStr) or not node.values:
        return
    first = node.values[0]
    if not (isinstance(first, ast.Constant) and DDL.match(str(first.value))):
        return
    for part in node.values:
        if isinstance(part, ast.FormattedValue) and not _is_quoted(part.value):
            yield (
                part.lineno,
                ast.unparse(part.value),
                "becomes SQL text; quote it by identifier() or literal()",
            )


def _is_quoted(value: ast.expr) -> bool:
    if isinstance(value, ast.Constant):
        return True
    if isinstance(value, ast.Name):
        return value.id.lstrip("_").isupper()
    if isinstance(value, ast.Attribute):
        return value.attr.lstrip("_").isupper() or value.attr in QUOTING
    if isinstance(value, ast.IfExp):
        return _is_quoted(value.body) and _is_quoted(value.orelse)
    return isinstance(value, ast.Call) and name_of(value.func) in QUOTING


def asserted_access(node: ast.AST, _: str) -> Found:
    """An ``assert`` is gone under ``python -O``, so it decides about nobody's access."""
    if isinstance(node, ast.Assert):
        for name in names_in(node.test):
            if ACCESS.search(name):
                yield node.lineno, name, "an assert decides by it; raise a refusal"
                return


def other_client(node: ast.AST, path: str) -> Found:
    """Requests to other hosts go through the outbound client, which knows where they must not go."""
    if OUTBOUND in path:
        return
    if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(HTTP):
        for alias in node.names:
            if alias.name in CLIENTS:
                yield node.lineno, f"{node.module}.{alias.name}", "use runtime.outbound"
    if isinstance(node, ast.Import):
        for alias in node.names:
            if alias.name in HTTP and alias.name != "httpx":
                yield node.lineno, alias.name, "use runtime.outbound"
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        owner = ast.unparse(node.func.value)
        if owner in HTTP and node.func.attr in CLIENTS:
            yield node.lineno, f"{owner}.{node.func.attr}()", "use runtime.outbound"


def timed_comparison(node: ast.AST, _: str) -> Found:
    """Secrets are compared in a time that does not depend on them."""
    if not isinstance(node, ast.Compare) or not isinstance(node.ops[0], ast.Eq | ast.NotEq):
        return
    sides = [node.left, *node.comparators]
    if any(isinstance(side, ast.Constant) for side in sides) or _is_column(node.left):
        return
    for side in sides:
        if isinstance(side, ast.Name | ast.Attribute) and SECRETS.search(name_of(side)):
            yield node.lineno, name_of(side), "is compared by ==; use hmac.compare_digest"
            return


def _is_column(node: ast.expr) -> bool:
    """``Model.column == value`` is a condition for the database."""
    return isinstance(node, ast.Attribute) and name_of(node.value)[:1].isupper()


def read_environment(node: ast.AST, path: str) -> Found:
    """Entry points read the environment, everything else is given settings."""
    if path.startswith(ENVIRONMENT):
        return
    if isinstance(node, ast.Attribute) and ast.unparse(node) in ("os.environ", "os.getenv", "os.environb"):
        yield node.lineno, "reads the environment", "declare a setting"


def guessable(node: ast.AST, _: str) -> Found:
    """What nobody may guess comes from `secrets`."""
    if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
        return
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    named = [name for target in targets if RANDOM_NAMES.search(name := ast.unparse(target))]
    for call in ast.walk(node.value) if named else ():
        if isinstance(call, ast.Call) and ast.unparse(call.func).startswith("random."):
            yield node.lineno, named[0], f"is made by {ast.unparse(call.func)}; use secrets"
            return


def unchecked_certificate(node: ast.AST, _: str) -> Found:
    """TLS without a check of the certificate is none."""
    if isinstance(node, ast.keyword) and node.arg in ("verify", "check_hostname", "ssl_check_hostname"):
        if isinstance(node.value, ast.Constant) and node.value.value is False:
            yield node.value.lineno, f"{node.arg}=False", "give it the authority's certificate"
    elif isinstance(node, ast.Attribute) and node.attr == "CERT_NONE":
        yield node.lineno, "CERT_NONE", "give it the authority's certificate"


def loose_algorithm(node: ast.AST, _: str) -> Found:
    """A token says which algorithm it has, and we say which we take: never none."""
    if isinstance(node, ast.keyword) and node.arg in ("algorithms", "alg", "algorithm"):
        for part in ast.walk(node.value):
            if (
                isinstance(part, ast.Constant)
                and str(part.value).lower() == "none"
                and part.value is not None
            ):
                yield part.lineno, "none", "a token without a signature would be taken; name the algorithms"
    if isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and key.value == "verify_signature" and _is_false(value):
                yield node.lineno, "verify_signature", "a token's signature is not verified; say how it is"


def _is_false(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


RULES: Final[dict[str, Rule]] = {
    "sql-text": sql_text,
    "asserted-access": asserted_access,
    "other-client": other_client,
    "timed-comparison": timed_comparison,
    "read-environment": read_environment,
    "guessable": guessable,
    "unchecked-certificate": unchecked_certificate,
    "loose-algorithm": loose_algorithm,
}


def name_of(node: ast.expr) -> str:
    """Return the last name of ``a.b.c``; empty for what has none."""
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else ""


def names_in(node: ast.AST) -> Iterator[str]:
    """Return every name and attribute in it."""
    for part in ast.walk(node):
        if isinstance(part, ast.Name | ast.Attribute):
            yield name_of(part)


def judge(text: str, path: str) -> Iterator[Place]:
    """Return the places of one file; ``path`` is relative to the source."""
    tree = ast.parse(text, path)
    for node in ast.walk(tree):
        for rule, look in RULES.items():
            yield from (Place(path, line, rule, what, message) for line, what, message in look(node, path))


def look_through(paths: Iterable[Path]) -> list[Place]:
    """Return the places of all Python files below ``paths``, those with a reason too."""
    found: list[Place] = []
    for path in paths:
        base = path if path.is_dir() else path.parent
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            found += judge(file.read_text(encoding="utf-8"), file.relative_to(base).as_posix())
    return found


def main(arguments: list[str]) -> int:
    """Print the places; return 1 when there is one."""
    found = unexcused(look_through([Path(argument) for argument in arguments] or [SOURCE]), exceptions())
    for place in found:
        print(place)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
