"""A process loads with the collector at rest and without what nobody needs, and lives with both as usual."""

from __future__ import annotations

import gc
import sys
from importlib import import_module
from typing import TYPE_CHECKING

import pytest

from monohull.kernel import heap

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    thresholds, frozen = gc.get_threshold(), gc.get_freeze_count()
    yield
    gc.unfreeze()
    if frozen:
        gc.freeze()
    gc.set_threshold(*thresholds)
    gc.enable()


def test_what_is_not_used_is_hidden_until_the_frameworks_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap, "UNUSED", ("colorsys",))
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    heap.begin_loading()
    with pytest.raises(ImportError):
        import_module("colorsys")
    heap.frameworks_loaded()
    assert import_module("colorsys").rgb_to_hsv(0, 0, 0) == (0, 0, 0)


def test_what_is_there_already_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap, "UNUSED", ("json",))
    loaded = import_module("json")
    heap.begin_loading()
    heap.frameworks_loaded()
    assert import_module("json") is loaded


def test_the_collector_rests_until_all_is_loaded() -> None:
    heap.begin_loading()
    assert not gc.isenabled()
    heap.settle()
    assert gc.isenabled()
    assert gc.get_threshold() == heap.GC_THRESHOLDS
    assert gc.get_freeze_count() > 0


def test_what_a_command_loads_is_not_looked_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap, "UNUSED", ("colorsys",))
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    gc.unfreeze()
    with pytest.raises(RuntimeError, match="it cannot be loaded"), heap.loading():  # noqa: PT012 all of the block
        assert not gc.isenabled()
        with pytest.raises(ImportError):
            import_module("colorsys")
        raise RuntimeError("it cannot be loaded")
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0
    assert import_module("colorsys").rgb_to_hsv(0, 0, 0) == (0, 0, 0)
