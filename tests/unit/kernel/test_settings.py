"""Settings: where values come from, what is refused, and that no refusal shows a secret."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, Struct

from monohull.kernel.settings import (
    CoreSettings,
    JwtSettings,
    Secret,
    Settings,
    SettingsError,
    describe,
    load_core,
    load_settings,
    weakness,
)

HUNTER = "hunter2-hunter2-hunter2-hunter2-hunter2"


class Shop(Struct, frozen=True, kw_only=True):
    prefix: ClassVar[str] = "SHOP_"
    open_prefixes: ClassVar[tuple[str, ...]] = ("SHOP_EXTRA_",)
    without_effect: ClassVar[frozenset[str]] = frozenset({"SHOP_COOKIE"})

    name: Annotated[str, Meta(min_length=1, description="What it is called.")] = "shop"
    tax: Annotated[float, Meta(gt=0, lt=1, description="Part of the price.")] = 0.2
    depth: Annotated[int, Meta(ge=1)] | None = None
    currencies: Annotated[tuple[Literal["EUR", "USD"], ...], Meta(description="Accepted.")] = ("EUR",)
    token: Annotated[Secret | None, Meta(description="Of the payment provider.")] = None
    keys: tuple[Secret, ...] = ()
    maybe_keys: tuple[Secret, ...] | None = None
    folder: Path | None = None
    is_open: bool = True
    mode: Literal["test", "live"] | None = None
    levels: tuple[int, ...] = ()


class Required(Struct, frozen=True, kw_only=True):
    prefix: ClassVar[str] = "SHOP_"

    url: str


def load(
    project: Path,
    environ: dict[str, str] | None = None,
    options: dict[str, str] | None = None,
    *shapes: type[Struct],
) -> Settings:
    return load_settings(lambda _: shapes or (Shop,), environ=environ or {}, project=project, options=options)


def shop(project: Path, **values: str) -> Shop:
    environ = {f"MONOHULL_SHOP_{name.upper()}": value for name, value in values.items()}
    return load(project, environ).of(Shop)


class TestSources:
    def test_defaults(self, tmp_path: Path) -> None:
        settings = load(tmp_path)
        assert settings.core == CoreSettings()
        assert settings.jwt == JwtSettings()
        assert settings.of(Shop) == Shop()
        assert settings.sources == {}

    def test_option_over_environment_over_project_over_default(self, tmp_path: Path) -> None:
        (tmp_path / "monohull.toml").write_text("port = 1\npool_size = 2\nhost = 'h'\n[shop]\ntax = 0.5\n")
        environ = {"MONOHULL_PORT": "3", "MONOHULL_POOL_SIZE": "4", "HOME": "/root"}
        settings = load(tmp_path, environ, {"port": "5"})
        core = settings.core
        assert (core.port, core.pool_size, core.host, settings.of(Shop).tax) == (5, 4, "h", 0.5)
        assert settings.sources == {
            "MONOHULL_PORT": "option --port",
            "MONOHULL_POOL_SIZE": "environment",
            "MONOHULL_HOST": "monohull.toml",
            "MONOHULL_SHOP_TAX": "monohull.toml",
        }

    def test_a_file_holds_the_value(self, tmp_path: Path) -> None:
        (path := tmp_path / "secret").write_text(f"{HUNTER}\n")
        settings = load(tmp_path, {"MONOHULL_JWT_SECRET_FILE": str(path)})
        assert settings.jwt.secret == HUNTER
        assert settings.sources == {"MONOHULL_JWT_SECRET": f"file {path}"}

    def test_a_file_wins_over_the_project(self, tmp_path: Path) -> None:
        (tmp_path / "monohull.toml").write_text("port = 1\n")
        (path := tmp_path / "port").write_text("2\r\n")
        assert load(tmp_path, {"MONOHULL_PORT_FILE": str(path)}).core.port == 2

    def test_tables_of_the_project_that_are_no_settings(self, tmp_path: Path) -> None:
        (tmp_path / "monohull.toml").write_text('[project]\nname = "x"\n[seed.copy]\na = 1\n')
        assert load(tmp_path).core == CoreSettings()

    def test_project_values_have_their_own_types(self, tmp_path: Path) -> None:
        (tmp_path / "monohull.toml").write_text(
            'modules = ["a.b", "c"]\n[shop]\ncurrencies = "EUR, USD"\nis_open = false\nlevels = [1, 2]\n'
        )
        settings = load(tmp_path)
        assert settings.core.modules == ("a.b", "c")
        assert settings.of(Shop) == Shop(currencies=("EUR", "USD"), is_open=False, levels=(1, 2))

    def test_what_status_prints_for_shells_is_no_setting(self, tmp_path: Path) -> None:
        environ = {"MONOHULL_URL": "http://127.0.0.1:8000", "ANON_KEY": "a"}
        assert load(tmp_path, environ).core == CoreSettings()

    def test_the_home_is_relative_to_the_project(self, tmp_path: Path) -> None:
        assert load(tmp_path).home == tmp_path / ".monohull"
        assert load(tmp_path, {"MONOHULL_HOME": "/data"}).home == Path("/data")

    def test_a_family_of_names_may_be_open(self, tmp_path: Path) -> None:
        assert load(tmp_path, {"MONOHULL_SHOP_EXTRA_ANYTHING": "x"}).of(Shop) == Shop()

    def test_a_struct_that_no_module_declares(self, tmp_path: Path) -> None:
        with pytest.raises(LookupError, match="no loaded module declares the settings Required"):
            load(tmp_path).of(Required)

    def test_the_core_alone(self, tmp_path: Path) -> None:
        """`up` loads no module, so what it does not know may be a module's."""
        settings = load_core(environ={"MONOHULL_SHOP_TAX": "x", "MONOHULL_PORT": "1"}, project=tmp_path)
        assert settings.core.port == 1
        with pytest.raises(SettingsError) as caught:
            load_core(
                environ={"MONOHULL_TRUSTED_PROXIES": "x", "MONOHULL_JWT_ROLE_CLAIM_KEY": "x"},
                project=tmp_path,
            )
        assert len(caught.value.faults) == 2
        with pytest.raises(SettingsError, match="MONOHULL_PORT"):
            load_core(environ={"MONOHULL_PORT": "x"}, project=tmp_path)


class TestTypes:
    @pytest.mark.parametrize(
        ("text", "value"),
        [(word, True) for word in ("1", "t", "true", "TRUE", "yes", "On", " true ")]
        + [(word, False) for word in ("0", "f", "false", "False", "no", "off")],
    )
    def test_booleans(self, tmp_path: Path, text: str, value: bool) -> None:
        assert shop(tmp_path, is_open=text).is_open is value

    @pytest.mark.parametrize("name", ["depth", "token", "folder", "mode", "maybe_keys"])
    def test_empty_text_unsets_what_may_be_unset(self, tmp_path: Path, name: str) -> None:
        assert getattr(shop(tmp_path, **{name: " "}), name) is None

    def test_lists(self, tmp_path: Path) -> None:
        found = shop(tmp_path, currencies=" EUR ,,USD ", levels="1,2", keys="")
        assert (found.currencies, found.levels, found.keys) == (("EUR", "USD"), (1, 2), ())

    def test_secrets_in_unions_and_tuples(self, tmp_path: Path) -> None:
        found = shop(tmp_path, token="a", keys="b,c", maybe_keys="d")
        assert (found.token, found.keys, found.maybe_keys) == ("a", ("b", "c"), ("d",))
        assert all(isinstance(s, Secret) for s in (found.token, *found.keys, *(found.maybe_keys or ())))

    def test_numbers_and_paths(self, tmp_path: Path) -> None:
        found = shop(tmp_path, tax=" 0.5 ", depth="7", folder="/a/b", mode="live")
        assert (found.tax, found.depth, found.folder, found.mode) == (0.5, 7, Path("/a/b"), "live")

    def test_no_repr_shows_a_secret(self, tmp_path: Path) -> None:
        settings = load(tmp_path, {"MONOHULL_JWT_SECRET": HUNTER, "MONOHULL_SHOP_KEYS": HUNTER})
        assert "hunter2" not in repr(settings)

    @given(st.text())
    def test_no_text_raises_anything_else(self, text: str) -> None:
        for name in ("TAX", "DEPTH", "CURRENCIES", "TOKEN", "FOLDER", "IS_OPEN", "MODE", "LEVELS"):
            variable, said = f"MONOHULL_SHOP_{name}", ""
            try:
                load(Path("/nonexistent"), {variable: text})
            except SettingsError as error:
                said = str(error)
            assert said == "" or said.startswith(f"{variable} (environment): ")


BAD: list[tuple[str, str, str]] = [
    ("ENV", "prod", "'prod' is not allowed: one of development, production, test"),
    ("HOST", "", "'' is not allowed: text"),
    ("PORT", "eighty", "'eighty' is not allowed: a whole number from 0 to 65535"),
    ("PORT", "65536", "'65536' is not allowed: a whole number from 0 to 65535"),
    ("PORT", "", "'' is not allowed: a whole number from 0 to 65535"),
    ("PORT", "80.5", "'80.5' is not allowed: a whole number"),
    ("PUBLIC_URL", "example.com", "'example.com' is not allowed: text that matches ^https?://"),
    ("POOL_SIZE", "0", "'0' is not allowed: a whole number from 1 to 1000"),
    ("POOL_TIMEOUT_SECONDS", "-1", "'-1' is not allowed: a number above 0 and of at most 300"),
    ("POOL_TIMEOUT_SECONDS", "nan", "'nan' is not allowed: a number above 0"),
    ("LOG_LEVEL", "verbose", "'verbose' is not allowed: one of debug, error, info, warning"),
    ("LOG_FORMAT", "text", "'text' is not allowed: one of console, json"),
    ("OTLP_ENDPOINT", "collector:4318", "not allowed: text that matches ^https?://"),
    ("METRICS_PORT", "0", "'0' is not allowed: a whole number from 1 to 65535"),
    ("METRICS_PORT", "8000", "8000 is the public port already; take another one"),
    ("TRUSTED_PROXIES", "10.0.0.1/8", "10.0.0.1/8 has host bits set; write 10.0.0.0/8"),
    ("TRUSTED_PROXIES", "proxy", "write 10.0.0.0/8 or 192.0.2.7"),
    ("CORS_ORIGINS", "example.com", "'example.com' is not an origin; write https://app.example.com"),
    ("OUTBOUND_ALLOWED", "10.0.0.0/33", "'10.0.0.0/33' is neither a network (10.0.0.0/8) nor a host name"),
    ("BODY_LIMIT_BYTES", "10MB", "'10MB' is not allowed: a whole number of at least 1024"),
    ("DRAIN_SECONDS", "3601", "'3601' is not allowed: a number from 0 to 3600"),
    ("DATABASE_URL", f"mysql://u:{HUNTER}@h", "the value is not allowed: it must start with postgresql://"),
    ("DATABASE_REPLICA_URLS", f"postgresql://h,http://{HUNTER}", "it must start with postgresql://"),
    ("REDIS_URL", f"http://{HUNTER}@h", "the value is not allowed: the Redis URL must start with one of"),
    ("REDIS_URL", f"redis://:{HUNTER}@h:x", "the port in the Redis URL is not a number"),
    ("JWT_ROLE_CLAIM_KEY", "role", r"'role' is not allowed: text that matches ^\$?\."),
    ("JWT_AUDIENCE_", "x", "there is no such setting; did you mean MONOHULL_JWT_AUDIENCE?"),
    ("PORTT", "1", "there is no such setting; did you mean MONOHULL_PORT?"),
    ("SHOP_COOKIES", "1", "there is no such setting"),
    ("QWERTYUIOP", HUNTER, "there is no such setting"),
    ("SHOP_TAX", "1", "'1' is not allowed: a number above 0 and below 1"),
    (
        "SHOP_CURRENCIES",
        "EUR,GBP",
        "'EUR,GBP' is not allowed: values separated by commas, each one of EUR, USD",
    ),
    ("SHOP_IS_OPEN", "maybe", "'maybe' is not allowed: true or false"),
    ("SHOP_MODE", "dry", "'dry' is not allowed: one of live, test"),
    ("SHOP_LEVELS", "1,x", "'1,x' is not allowed: values separated by commas, each a whole number"),
]


class TestRefusals:
    @pytest.mark.parametrize(("name", "value", "message"), BAD)
    def test_a_bad_value_is_one_line_that_says_all(
        self, tmp_path: Path, name: str, value: str, message: str
    ) -> None:
        with pytest.raises(SettingsError) as caught:
            load(tmp_path, {f"MONOHULL_{name}": value})
        (fault,) = caught.value.faults
        assert fault.variable == f"MONOHULL_{name}"
        assert fault.source == "environment"
        assert message in fault.message
        assert "hunter2" not in str(caught.value)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        ("toml", "line"),
        [
            (
                "port = 'x'",
                "MONOHULL_PORT (monohull.toml): 'x' is not allowed: a whole number from 0 to 65535",
            ),
            ("port = true", "MONOHULL_PORT (monohull.toml): True is not allowed: a whole number"),
            ("port = 1979-05-27", "MONOHULL_PORT (monohull.toml): datetime.date(1979, 5, 27) is not allowed"),
            ("host = 7", "MONOHULL_HOST (monohull.toml): 7 is not allowed: text"),
            ("[jwt]\nsecret = 12345", "MONOHULL_JWT_SECRET (monohull.toml): the value is not allowed: text"),
            ("[shop]\nkeys = [12345]", "MONOHULL_SHOP_KEYS (monohull.toml): the value is not allowed"),
            ("[shop]\ntoken = ['12345']", "MONOHULL_SHOP_TOKEN (monohull.toml): the value is not allowed"),
            ("[rest]\nmax_rows = 1", "MONOHULL_REST_MAX_ROWS (monohull.toml): there is no such setting"),
            ("shop_tax = 0.5\n[shop]\ntax = 0.1", "MONOHULL_SHOP_TAX (monohull.toml): it is set twice"),
            ("[port]\nx = 1", "MONOHULL_PORT_X (monohull.toml): there is no such setting"),
        ],
    )
    def test_a_bad_project(self, tmp_path: Path, toml: str, line: str) -> None:
        (tmp_path / "monohull.toml").write_text(toml)
        with pytest.raises(SettingsError) as caught:
            load(tmp_path)
        assert str(caught.value).startswith(line)
        assert "12345" not in str(caught.value)

    def test_every_fault_is_told_at_once(self, tmp_path: Path) -> None:
        environ = {"MONOHULL_SHOP_TAX": "x", "MONOHULL_NOPE": "1", "MONOHULL_TRUSTED_PROXIES": "x"}
        environ["MONOHULL_JWT_ROLE_CLAIM_KEY"] = "role"
        with pytest.raises(SettingsError) as caught:
            load(tmp_path, environ)
        assert sorted(fault.variable for fault in caught.value.faults) == sorted(environ)

    def test_the_option_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match=r"MONOHULL_PORT \(option --port\): 'x' is not allowed"):
            load(tmp_path, {}, {"port": "x"})

    def test_a_project_that_is_no_toml(self, tmp_path: Path) -> None:
        (tmp_path / "monohull.toml").write_text("port = \n")
        with pytest.raises(SettingsError, match=r"monohull\.toml \(.*monohull.toml\): .*line 1"):
            load(tmp_path)

    def test_a_project_that_is_no_text(self, tmp_path: Path) -> None:
        (tmp_path / "monohull.toml").write_bytes(b"\xff\xfe")
        with pytest.raises(SettingsError, match="not UTF-8"):
            load(tmp_path)

    def test_a_project_that_is_a_folder(self, tmp_path: Path) -> None:
        (tmp_path / "monohull.toml").mkdir()
        with pytest.raises(SettingsError, match="Is a directory"):
            load(tmp_path)

    @pytest.mark.parametrize(
        ("environ", "line"),
        [
            (
                {"MONOHULL_PORT_FILE": "absent"},
                "MONOHULL_PORT_FILE (environment): cannot read 'absent': No such",
            ),
            (
                {"MONOHULL_PORT_FILE": "/"},
                "MONOHULL_PORT_FILE (environment): cannot read '/': Is a directory",
            ),
            ({"MONOHULL_PORT_FILE": "binary"}, "cannot read 'binary': it is not UTF-8 text"),
            ({"MONOHULL_PORT_FILE": "bad"}, "MONOHULL_PORT (file bad): 'x' is not allowed: a whole number"),
            (
                {"MONOHULL_PORT_FILE": "bad", "MONOHULL_PORT": "1"},
                "MONOHULL_PORT is set too; set one of the two",
            ),
            ({"MONOHULL_JWT_SECRET_FILE": "empty"}, ""),
            (
                {"MONOHULL_PROT_FILE": "bad"},
                "MONOHULL_PROT (file bad): there is no such setting; did you mean",
            ),
        ],
    )
    def test_files_of_values(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], line: str
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "bad").write_text("x\n")
        (tmp_path / "empty").write_text("\n")
        (tmp_path / "binary").write_bytes(b"\xff")
        if not line:
            assert load(tmp_path, environ).jwt.secret is None
            return
        with pytest.raises(SettingsError) as caught:
            load(tmp_path, environ)
        assert line in str(caught.value)

    def test_what_has_no_default_must_be_set(self, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match=r"MONOHULL_SHOP_URL \(unset\): it has no default"):
            load(tmp_path, {}, None, Required)
        assert load(tmp_path, {"MONOHULL_SHOP_URL": "u"}, None, Required).of(Required).url == "u"


class TestOtherNames:
    def test_a_setting_under_its_other_name(self, tmp_path: Path) -> None:
        given = {"MONOHULL_AUTH_JWT_KEYS": "[]", "MONOHULL_AUTH_JWT_AUD": "people"}
        settings = load(tmp_path, given)
        assert settings.jwt.jwks == "[]"
        assert settings.jwt.effective_audience == "people"
        assert settings.sources["MONOHULL_JWT_JWKS"] == "environment"

    def test_both_at_once(self, tmp_path: Path) -> None:
        both = {"MONOHULL_AUTH_JWT_KEYS": HUNTER, "MONOHULL_JWT_JWKS": HUNTER}
        with pytest.raises(SettingsError) as caught:
            load(tmp_path, both)
        message = "it is another name of MONOHULL_JWT_JWKS, which is set too; set one of the two"
        assert [(fault.variable, fault.message) for fault in caught.value.faults] == [
            ("MONOHULL_AUTH_JWT_KEYS", message)
        ]

    def test_what_has_no_effect_is_told_and_not_refused(self, tmp_path: Path) -> None:
        assert load(tmp_path, {"MONOHULL_SHOP_COOKIE": "sb"}).idle == ("MONOHULL_SHOP_COOKIE",)
        assert load(tmp_path).idle == ()


class TestDeclarations:
    def test_two_modules_that_claim_one_variable(self, tmp_path: Path) -> None:
        class Rival(Struct, frozen=True):
            prefix: ClassVar[str] = "SHOP_"

            tax: float = 0.1

        with pytest.raises(SettingsError, match=r"MONOHULL_SHOP_TAX .*: both declare it"):
            load(tmp_path, {}, None, Shop, Rival)

    def test_a_module_that_claims_one_of_the_kernel(self, tmp_path: Path) -> None:
        class Pool(Struct, frozen=True):
            prefix: ClassVar[str] = "POOL_"

            size: int = 1

        with pytest.raises(SettingsError, match="MONOHULL_POOL_SIZE"):
            load(tmp_path, {}, None, Pool)

    def test_a_name_that_ends_like_a_file(self, tmp_path: Path) -> None:
        class Logs(Struct, frozen=True):
            prefix: ClassVar[str] = "LOGS_"

            to_file: str = ""

        with pytest.raises(SettingsError, match=r"MONOHULL_LOGS_TO_FILE .*_FILE names the file"):
            load(tmp_path, {}, None, Logs)

    def test_everything_is_described(self) -> None:
        rows = {row.variable: row for row in describe(CoreSettings, JwtSettings, Shop)}
        assert all(row.description for name, row in rows.items() if "SHOP" not in name)
        port = rows["MONOHULL_PORT"]
        assert (port.takes, port.default) == ("a whole number from 0 to 65535", "8000")
        assert rows["MONOHULL_SHOP_CURRENCIES"].default == "EUR"
        assert rows["MONOHULL_SHOP_IS_OPEN"].default == "true"
        assert rows["MONOHULL_JWT_SECRET"].default is None

    def test_defaults_may_be_made(self) -> None:
        class Listed(Struct, frozen=True):
            prefix: ClassVar[str] = "X_"

            names: list[str] = []
            needed: Any = None

        assert [row.default for row in describe(Listed)] == ["[]", None]


class TestProduction:
    @pytest.mark.parametrize(
        ("secret", "reason"),
        [
            ("short", "it has 5 characters; 32 are needed"),
            ("super-secret-jwt-token-with-at-least-32-characters-long", "public documentation"),
            ("reallyreallyreallyreallyverysafe", "public documentation"),
            ("abcabcabcabcabcabcabcabcabcabcabcabc", "fewer than 10 different characters"),
        ],
    )
    def test_a_weak_secret_has_a_reason(self, secret: str, reason: str) -> None:
        found = weakness(secret)
        assert found is not None
        assert reason in found
        assert secret not in found

    def test_a_strong_secret_has_none(self) -> None:
        assert weakness("Zm9vYmFyYmF6cXV4MTIzNDU2Nzg5MGFiY2Rl") is None

    def test_what_follows_from_the_environment(self) -> None:
        production, development = CoreSettings(env="production"), CoreSettings()
        assert (production.is_production, development.is_production) == (True, False)
        assert (production.effective_log_format, development.effective_log_format) == ("json", "console")
        assert (production.effective_cors_origins, development.effective_cors_origins) == ((), ("*",))
        chosen = CoreSettings(env="production", log_format="console", cors_origins=("https://a.example",))
        assert chosen.effective_log_format == "console"
        assert chosen.effective_cors_origins == ("https://a.example",)
