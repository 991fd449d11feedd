"""Every event of the product has a JSON schema that is one."""

from __future__ import annotations

import jsonschema
import msgspec

from modules.streams.schemas import Schemas
from monohull.kernel.events import EventRegistry
from monohull.kernel.module import load_modules
from monohull.kernel.rows import ROW_EVENTS
from monohull.kernel.settings import BUILTIN_MODULES


def test_all_of_them() -> None:
    registry = EventRegistry(
        (*ROW_EVENTS, *(event for module in load_modules(BUILTIN_MODULES) for event in module.events))
    )
    schemas = Schemas(registry, "https://shop.example.com/")
    listed = schemas.all()
    assert len(listed) == len(registry.events) > 50
    for one in listed:
        document = msgspec.json.decode(schemas.get(one.event, one.version))
        jsonschema.Draft202012Validator.check_schema(document)
        assert (
            document["$id"]
            == one.dataschema
            == (f"https://shop.example.com/platform/v1/streams/schemas/{one.event}/{one.version}")
        )
        assert one.summary
