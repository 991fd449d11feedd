"""Modules: found by name, checked as a set, put in order."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from monohull.kernel.module import Module, ModuleError, Parts, load_modules
from monohull.kernel.settings import BUILTIN_MODULES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put ``acme_<name>.module`` among the imported ones."""

    def put(name: str, *requires: str, value: object | None = None) -> None:
        package, plug = ModuleType(f"acme_{name}"), ModuleType(f"acme_{name}.module")
        package.__path__ = []
        plug.__dict__["module"] = value or Module(name=name, requires=requires)
        monkeypatch.setitem(sys.modules, f"acme_{name}", package)
        monkeypatch.setitem(sys.modules, f"acme_{name}.module", plug)

    return put


def names(modules: tuple[Module, ...]) -> list[str]:
    return [module.name for module in modules]


def test_what_is_required_comes_first(install: Callable[..., None]) -> None:
    install("shop", "billing", "stock")
    install("billing", "people")
    install("stock", "people")
    install("people")
    loaded = names(load_modules(["acme_shop", "acme_stock", "acme_billing", "acme_people"]))
    assert loaded[0] == "people"
    assert loaded[-1] == "shop"
    assert sorted(loaded) == ["billing", "people", "shop", "stock"]


def test_the_order_is_the_same_every_time(install: Callable[..., None]) -> None:
    for name in "abcdef":
        install(name)
    dotted = [f"acme_{name}" for name in "fbdace"]
    assert len({tuple(names(load_modules(dotted))) for _ in range(20)}) == 1


def test_the_modules_of_the_product_fit_together() -> None:
    loaded = load_modules(BUILTIN_MODULES)
    assert len(loaded) == len(BUILTIN_MODULES)
    seen: set[str] = set()
    for module in loaded:
        assert seen.issuperset(module.requires)
        seen.add(module.name)


def test_a_name_that_is_not_loaded(install: Callable[..., None]) -> None:
    install("shop", "billing")
    with pytest.raises(ModuleError, match="'shop' requires 'billing', which is not loaded"):
        load_modules(["acme_shop"])


def test_a_circle_is_drawn(install: Callable[..., None]) -> None:
    install("a", "b")
    install("b", "c")
    install("c", "a")
    with pytest.raises(ModuleError, match=r"in a circle: \w( → \w){3}"):
        load_modules(["acme_a", "acme_b", "acme_c"])


def test_a_module_that_requires_itself(install: Callable[..., None]) -> None:
    install("a", "a")
    with pytest.raises(ModuleError, match="circle: a → a"):
        load_modules(["acme_a"])


def test_two_of_one_name(install: Callable[..., None]) -> None:
    install("shop")
    install("other", value=Module(name="shop"))
    with pytest.raises(ModuleError, match="two modules are called 'shop'; the second is acme_other"):
        load_modules(["acme_shop", "acme_other"])


def test_the_same_one_twice(install: Callable[..., None]) -> None:
    install("shop")
    with pytest.raises(ModuleError, match="two modules are called 'shop'"):
        load_modules(["acme_shop", "acme_shop"])


@pytest.mark.parametrize("dotted", ["acme_nowhere", "acme.nowhere", "monohull.nowhere", "os.path"])
def test_a_name_that_cannot_be_imported(dotted: str) -> None:
    with pytest.raises(ModuleError, match=f"there is no module '{dotted}'"):
        load_modules([dotted])


@pytest.mark.parametrize("dotted", ["", ".", ".shop", "shop.", "acme shop", "acme-shop", "../shop", "a..b"])
def test_what_is_no_dotted_name(dotted: str) -> None:
    with pytest.raises(ModuleError, match="is no dotted name"):
        load_modules([dotted])


def test_a_plug_without_a_module(install: Callable[..., None]) -> None:
    install("shop", value=object())
    with pytest.raises(ModuleError, match=r"acme_shop.module has no `module = Module\(...\)`"):
        load_modules(["acme_shop"])


def test_what_a_module_itself_lacks_is_its_own_defect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (package := tmp_path / "acme_broken").mkdir()
    (package / "__init__.py").touch()
    (package / "module.py").write_text("import acme_missing_dependency\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="acme_missing_dependency"):
        load_modules(["acme_broken"])


def test_nothing_is_contributed_by_default() -> None:
    parts = Parts()
    assert not any((parts.routers, parts.mounts, parts.dependencies, parts.authenticators, parts.checks))
