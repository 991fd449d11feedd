"""The import contract that import-linter does not bring: rooms meet at their faces.

``modules.auth`` may be imported from another room, ``modules.auth.services`` may
not. The built-in ``protected`` contract with wildcards cannot say this: it also
refuses a room's own plug (``modules.auth.module``) its own controllers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from importlinter import Contract, ContractCheck, fields, output

if TYPE_CHECKING:
    from grimp import ImportGraph


class PublicFaceContract(Contract):
    """Below ``root``, a package is imported from outside only as itself.

    Options:
        root: The package whose children are the rooms.
    """

    type_name: ClassVar[str] = "public_face"

    root = fields.StringField()

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:  # noqa: ARG002  import-linter's signature
        root = str(self.root)
        trespasses: list[tuple[str, str, str]] = []
        for importer in sorted(graph.find_descendants(root)):
            home = _room(importer)
            for imported in sorted(graph.find_modules_directly_imported_by(importer)):
                face = _room(imported)
                if imported.startswith(f"{root}.") and face not in (home, imported):
                    trespasses.append((importer, imported, face))
        return ContractCheck(kept=not trespasses, metadata={"trespasses": trespasses})

    def render_broken_contract(self, check: ContractCheck) -> None:
        for importer, imported, face in check.metadata["trespasses"]:
            output.print_error(f"{importer} imports {imported}: import from {face}, or move it there")


def _room(module: str) -> str:
    return ".".join(module.split(".")[:2])
