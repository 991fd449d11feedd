"""Helm and the schemas of Kubernetes behind a pipe: a JSON request a line, a JSON answer a line.

Runs in the environment of `make install-deploy`, which holds what checks the
deployment and nothing of the product; whoever asks runs in the product's. Once
started it answers in milliseconds.

    {"do": "render", "chart": path, "values": {}, "revision": 1}    {"result": {template: text}}
    {"do": "lint", "chart": path, "values": {}}                     {"result": ["…"]}
    {"do": "package", "chart": path, "into": path}                  {"result": path}
    {"do": "validate", "objects": [{}], "version": "1.33"}          {"result": ["…"]}
    {"do": "conforms", "document": {}, "to": "compose-spec"}        {"result": ["…"]}
    {"do": "terraform", "path": path}                               {"result": {}}
    {"do": "groovy", "path": path}                                  {"result": ["…"]}

What is asked for and fails is answered ``{"error": "…"}``.
"""

from __future__ import annotations

import functools
import json
import sys
from pathlib import Path
from typing import Any

import hcl2
import helm_python as helm
import jsonschema
import kubernetes_validate
import tree_sitter
import tree_sitter_groovy
from check_jsonschema import builtin_schemas
from kubernetes_validate import utils

utils.schema_contents = functools.cache(utils.schema_contents)  # it would read megabytes for every object


def render(chart: str, values: dict[str, Any], revision: int = 1) -> dict[str, str]:
    """Return the text of each template; refuses values that the chart's schema refuses."""
    with helm.Chart.load(chart) as loaded:
        loaded.validate_schema(values)
        made: dict[str, str] = loaded.render(
            values,
            name="shop",
            namespace="monohull",
            revision=revision,
            is_install=revision == 1,
            is_upgrade=revision > 1,
        )
    return made


def lint(chart: str, values: dict[str, Any]) -> list[str]:
    """Return what Helm's own linter finds beyond hints."""
    report = helm.lint(chart, values, strict=True, namespace="monohull")
    return [f"{one['path']}: {one['error']}" for one in report["messages"] if one["severity"] > 1]


def package(chart: str, into: str) -> str:
    """Return the path of the archive."""
    with helm.Chart.load(chart) as loaded:
        archive: str = loaded.save(into)
    return archive


def validate(objects: list[dict[str, Any]], version: str) -> list[str]:
    """Return what is wrong with objects of Kubernetes itself; extra fields are wrong too."""
    found = []
    for one in objects:
        name = f"{one.get('kind')}/{one.get('metadata', {}).get('name')}"
        try:
            kubernetes_validate.validate(one, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            found.append(f"{name}: {'.'.join(map(str, error.path))}: {error.message}")
        except kubernetes_validate.SchemaNotFoundError as error:
            found.append(f"{name}: {error.message}")
    return found


def conforms(document: Any, to: str) -> list[str]:
    """Return what is wrong with a document by the schema that its format's makers publish."""
    schema = builtin_schemas.get_builtin_schema(f"vendor.{to}")
    validator = jsonschema.validators.validator_for(schema)(schema)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)]


def terraform(path: str) -> dict[str, Any]:
    """Return a file in Terraform's language as data."""
    with Path(path).open(encoding="utf-8") as file:
        found: dict[str, Any] = hcl2.load(file)
    return found


def groovy(path: str) -> list[str]:
    """Return the places where a file is no Groovy."""
    parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_groovy.language()))
    tree = parser.parse(Path(path).read_bytes())
    found = []
    open_nodes = [tree.root_node]
    while open_nodes:
        node = open_nodes.pop()
        if node.is_error or node.is_missing:
            found.append(f"line {node.start_point[0] + 1}: {node.text.decode()[:60]!r}")
        open_nodes.extend(node.children)
    return found


ACTIONS = {
    action.__name__: action for action in (render, lint, package, validate, conforms, terraform, groovy)
}


def main() -> None:
    """Answer until there is nothing more to answer."""
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"result": ACTIONS[request.pop("do")](**request)}
        except Exception as error:  # noqa: BLE001 the boundary: whatever it is, the asker hears of it
            answer = {"error": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
