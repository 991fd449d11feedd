"""What `monohull gen` writes, held against its readers: compilers, linters, Supabase's generator, Postman."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import asyncpg
import pytest
from click.testing import CliRunner
from openapi_spec_validator import OpenAPIV31SpecValidator

from modules.rest.cli import gen
from tests import odd_schema
from tests.application import service_key
from tests.integration.api_keys.test_cli import ENVIRON, Context
from tests.integration.cli.serving import serve

if TYPE_CHECKING:
    from monohull.kernel.home import Connections

FOLDER: Final = Path(__file__).parent / "descriptions"
MIGRATIONS: Final = Path(__file__).parents[2] / "examples/storefront/migrations"
NODE: Final = shutil.which("node")
ROWS: Final = """
    insert into public.customers (name, email, country) values ('Ada', 'ada@example.com', 'GB');
    insert into public.products (sku, name, category, price) values ('AB-12', 'Engine', 'machines', 9.5);
"""

needs_node = pytest.mark.skipif(
    NODE is None or not (FOLDER / "node_modules").is_dir(),
    reason="Node.js or the programs that `make clients` brings are not installed",
)


@pytest.fixture
async def storefront(connections: Connections) -> Connections:
    """A database with the tables of the example, and two rows."""
    return await filled(connections, *(file.read_text() for file in sorted(MIGRATIONS.iterdir())), ROWS)


@pytest.fixture
async def odd(connections: Connections) -> Connections:
    """A database with 300 tables whose names are awkward."""
    return await filled(connections, odd_schema.statements(300))


async def filled(connections: Connections, *statements: str) -> Connections:
    database = await asyncpg.connect(connections.owner_url)
    try:
        for one in statements:
            await database.execute(one)
    finally:
        await database.close()
    return connections


def generated(connections: Connections, *arguments: str) -> str:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "generated"
        done = CliRunner().invoke(gen, [*arguments, "-o", str(file)], obj=Context(connections, ENVIRON))
        assert done.exit_code == 0, done.output
        return file.read_text()


def run(folder: Path, *command: str, timeout: int = 250) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout


def program(name: str) -> str:
    return str(FOLDER / "node_modules/.bin" / name)


def compile_types(connections: Connections, folder: Path, using: str, *schemas: str) -> None:
    """Compile our types, with a program that uses them, beside those of Supabase's generator."""
    assert NODE is not None
    chosen = [part for schema in schemas for part in ("--schema", schema)]
    (folder / "ours.ts").write_text(generated(connections, "types", "--lang", "typescript", *chosen))
    run(FOLDER, NODE, "theirs.mjs", connections.owner_url, str(folder / "theirs.ts"), *schemas)
    shutil.copy(FOLDER / using, folder / "program.ts")
    shutil.copy(FOLDER / "tsconfig.json", folder)
    (folder / "node_modules").symlink_to(FOLDER / "node_modules")
    run(folder, program("tsc"), "--project", str(folder / "tsconfig.json"))


@needs_node
def test_typescript_of_the_storefront(storefront: Connections, tmp_path: Path) -> None:
    compile_types(storefront, tmp_path, "storefront.ts", "public")


@needs_node
def test_typescript_of_awkward_names(odd: Connections, tmp_path: Path) -> None:
    compile_types(odd, tmp_path, "odd.ts", "public", "other")


USING: Final = """
from ours import CustomersInsert, Orders, OrdersInsert, OrderTotalArgs, OrderTotalReturns, PlaceOrderReturns

order: Orders = {"id": 1, "customer_id": 2, "status": "paid", "note": None, "placed_at": "2026-01-01"}
new: OrdersInsert = {"customer_id": 2}
total: OrderTotalReturns = 1.5
arguments: OrderTotalArgs = {"order_id": 1}
placed: PlaceOrderReturns = order
wrong: CustomersInsert = {"name": "Ada"}  # type: ignore[typeddict-item]
note: str = order["note"]  # type: ignore[assignment]
"""


def check_python(folder: Path, *files: str) -> None:
    run(folder, sys.executable, "-m", "mypy", "--strict", "--config-file=", *files)
    for file in files:
        run(folder, sys.executable, file)


def test_python_of_the_storefront(storefront: Connections, tmp_path: Path) -> None:
    (tmp_path / "ours.py").write_text(generated(storefront, "types", "--lang", "python"))
    (tmp_path / "using.py").write_text(USING)
    check_python(tmp_path, "ours.py", "using.py")


def test_python_of_awkward_names(odd: Connections, tmp_path: Path) -> None:
    types = ("types", "--lang", "python", "--schema", "public", "--schema", "other")
    source = generated(odd, *types)
    assert source.count("TypedDict") > 900
    (tmp_path / "ours.py").write_text(source)
    check_python(tmp_path, "ours.py")
    assert generated(odd, *types) == source


def lint(document: Path) -> None:
    """Have redocly and ECMAScript look at a document: they say nothing, not even a warning."""
    assert NODE is not None
    run(FOLDER, NODE, "patterns.mjs", str(document))
    told = run(FOLDER, program("redocly"), "lint", str(document), "--config=redocly.yaml", "--format=json")
    assert json.loads(told)["problems"] == []


@needs_node
def test_openapi_of_the_storefront(storefront: Connections, tmp_path: Path) -> None:
    document = tmp_path / "openapi.json"
    for role in ((), ("--role", "anon"), ("--role", "authenticated")):
        document.write_text(generated(storefront, "openapi", *role))
        OpenAPIV31SpecValidator(json.loads(document.read_text())).validate()
        lint(document)
        spectral = ("lint", str(document), "--ruleset=spectral.yaml", "--fail-severity=hint")
        run(FOLDER, program("spectral"), *spectral)


@needs_node
def test_openapi_of_awkward_names(odd: Connections, tmp_path: Path) -> None:
    """Spectral reads ``/a%20b`` as ``/a b``, and misses there what ``/a%20b`` has: that is left out."""
    document = tmp_path / "openapi.json"
    document.write_text(generated(odd, "openapi"))
    lint(document)
    described = without_proto(json.loads(document.read_text()))
    document.write_text(json.dumps(described))
    assert [one for one in told_by_spectral(document) if is_there(described, one)] == []


def is_there(document: Any, told: str) -> bool:
    """Say whether a complaint is about something that the document has, or about no path at all."""
    _, _, where = told.partition(": ")
    if not where.startswith("paths./"):
        return True
    return any(where.startswith(f"paths.{path}") for path in document["paths"] if path != "/")


MINIMAL: Final = {
    "openapi": "3.1.0",
    "info": {"title": "Awkward", "version": "1", "description": "As small as can be.", "contact": {}},
    "servers": [{"url": "https://api.example.com"}],
    "paths": {},
    "components": {"schemas": {"row": {"properties": {"__proto__": {"type": "string"}}}}},
}


def without_proto(node: Any) -> Any:
    """Return a document without what is named ``__proto__``, and without what demands it."""
    if isinstance(node, list):
        return [without_proto(one) for one in node]
    if not isinstance(node, dict):
        return node
    kept = {name: without_proto(one) for name, one in node.items() if name != "__proto__"}
    if isinstance(kept.get("required"), list):
        kept["required"] = [name for name in kept["required"] if name != "__proto__"]
    return kept


def told_by_spectral(document: Path) -> list[str]:
    """Return the rules of spectral's that a document breaks, with where."""
    command = (program("spectral"), "lint", str(document), "--ruleset=spectral.yaml", "--format=json")
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=500, check=False)
    assert done.stdout.startswith("["), done.stdout[-1000:] + done.stderr[-1000:]
    return [f"{one['code']}: {'.'.join(one['path'])}" for one in json.loads(done.stdout)]


@needs_node
def test_spectral_takes_a_property_for_a_prototype(tmp_path: Path) -> None:
    """Of the smallest document with a property named ``__proto__``, which is valid, it says otherwise.

    It assigns the property to an object of JavaScript, whose prototype it becomes; what is in it then looks
    like further properties. So it is not asked about those.
    """
    document = tmp_path / "openapi.json"
    document.write_text(json.dumps(MINIMAL))
    OpenAPIV31SpecValidator(MINIMAL).validate()
    assert "oas3-schema: components.schemas.row.properties.type" in told_by_spectral(document)
    document.write_text(json.dumps(without_proto(MINIMAL)))
    assert told_by_spectral(document) == ["oas3-unused-component: components.schemas.row"]


@pytest.fixture
async def awkward(connections: Connections) -> Connections:
    """A database with each awkward name once."""
    return await filled(connections, odd_schema.statements(len(odd_schema.NAMES)))


def test_openapi_of_awkward_names_is_valid(awkward: Connections) -> None:
    OpenAPIV31SpecValidator(json.loads(generated(awkward, "openapi"))).validate()


@needs_node
def test_postman_runs_the_collection(storefront: Connections, tmp_path: Path) -> None:
    """Newman is Postman's own runner: it sends each request, and each is answered as it should be."""
    with serve(storefront, tmp_path, log_level="error") as url:
        collection = json.loads(generated(storefront, "postman"))
        folders = collection["item"]
        reads = [[one for one in folder["item"] if one["request"]["method"] == "GET"] for folder in folders]
        for folder, items in zip(folders, reads, strict=True):
            folder["item"] = items
        check = "pm.test('answered', () => pm.expect(pm.response.code).to.be.oneOf([200, 206]))"
        collection["event"] = [{"listen": "test", "script": {"exec": [check], "type": "text/javascript"}}]
        (tmp_path / "collection.json").write_text(json.dumps(collection))
        variables = [f"baseUrl={url}/rest/v1", f"apikey={service_key()}", f"token={service_key()}"]
        given = [part for one in variables for part in ("--env-var", one)]
        out = str(tmp_path / "run.json")
        run(
            tmp_path,
            program("newman"),
            "run",
            "collection.json",
            *given,
            "-r",
            "json",
            "--reporter-json-export",
            out,
        )
        told = json.loads(Path(out).read_text())["run"]
        assert (told["stats"]["requests"]["total"], told["failures"]) == (sum(map(len, reads)), [])
