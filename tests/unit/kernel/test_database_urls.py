from __future__ import annotations

import string
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monohull.kernel.database.urls import SSL_MODES, DatabaseUrlError, parse_url

TEXT = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=40)
HOST = st.text(string.ascii_lowercase + string.digits + ".-", min_size=1, max_size=30)


def refusal(url: str) -> str:
    try:
        parse_url(url)
    except DatabaseUrlError as error:
        return str(error)
    return "fine"


@given(user=TEXT, password=TEXT, host=HOST, port=st.integers(1, 65535), database=TEXT)
def test_percent_encoded_parts_come_back(
    user: str, password: str, host: str, port: int, database: str
) -> None:
    login = f"{quote(user, safe='')}:{quote(password, safe='')}"
    found = parse_url(f"postgresql://{login}@{host}:{port}/{quote(database, safe='')}")
    assert (found.user, found.password, found.database) == (user, password, database)
    assert found.hosts == ((host, port),)
    assert repr(found) == f"DatabaseUrl({host}:{port}/{database})"


@given(TEXT)
def test_any_text_is_parsed_or_refused(text: str) -> None:
    assert refusal(f"postgresql://{text}").startswith(("MONOHULL_DATABASE_URL cannot be used: ", "fine"))


@given(password=TEXT, rest=TEXT)
def test_a_refusal_never_holds_the_password(password: str, rest: str) -> None:
    assert "S3cret" not in refusal(f"postgresql://me:S3cret{password}S3cret@h/d?{quote(rest, safe='')}=1")
    assert "S3cret" not in refusal(f"postgresql://me:S3cret{password}S3cret")


@pytest.mark.parametrize("mode", SSL_MODES)
def test_sslmode_is_handed_on(mode: str) -> None:
    assert parse_url(f"postgresql://h/d?sslmode={mode}").connect_arguments()["ssl"] == mode


def test_tcp_prefers_tls_and_a_socket_has_none() -> None:
    assert parse_url("postgresql://h/d").connect_arguments()["ssl"] == "prefer"
    assert parse_url("postgresql:///d?host=/run/postgresql").connect_arguments()["ssl"] is False
    assert parse_url("postgresql:///d").connect_arguments()["ssl"] is False


def test_tls_files_go_through_a_dsn() -> None:
    found = parse_url("postgresql://h/d?sslmode=verify-full&sslrootcert=/etc/my%20ca.pem").connect_arguments()
    assert found["dsn"] == "postgresql://?sslrootcert=%2Fetc%2Fmy%20ca.pem"
    assert found["ssl"] == "verify-full"


@pytest.mark.parametrize(
    ("url", "hosts", "address"),
    [
        ("postgres://h", (("h", 5432),), "h:5432"),
        ("postgresql://h:6432/d", (("h", 6432),), "h:6432"),
        ("postgresql://a,b:1/d", (("a", 5432), ("b", 1)), "a:5432,b:1"),
        ("postgresql://a,b/d?port=7", (("a", 7), ("b", 7)), "a:7,b:7"),
        ("postgresql:///d?host=a,b&port=1,2", (("a", 1), ("b", 2)), "a:1,b:2"),
        ("postgresql://[::1]:5433/d", (("::1", 5433),), "[::1]:5433"),
        ("postgresql:///d?host=/run/pg&port=5433", (("/run/pg", 5433),), "/run/pg/.s.PGSQL.5433"),
        ("postgresql://%2Frun%2Fpg/d", (("/run/pg", 5432),), "/run/pg/.s.PGSQL.5432"),
        ("postgresql:///d?port=5433", (("localhost", 5433),), "localhost:5433"),
        ("postgresql:///d", (), "the local socket"),
    ],
)
def test_hosts(url: str, hosts: tuple[tuple[str, int], ...], address: str) -> None:
    found = parse_url(url)
    assert found.hosts == hosts
    assert found.address == address


def test_an_at_sign_in_the_password_is_understood() -> None:
    found = parse_url("postgresql://me:p@ss:w+rd@h/d")
    assert (found.user, found.password) == ("me", "p@ss:w+rd")


def test_parameters_win_over_the_authority() -> None:
    found = parse_url("postgresql://a:b@h/d?user=u&password=p%26w&dbname=e")
    assert (found.user, found.password, found.database) == ("u", "p&w", "e")


def test_server_settings_and_time_out() -> None:
    found = parse_url("postgresql://h/d?application_name=shop&connect_timeout=3&options=-c%20geqo%3Doff")
    assert found.server_settings == {"application_name": "shop", "options": "-c geqo=off"}
    assert found.connect_timeout_seconds == 3.0
    assert parse_url("postgresql://h/d?connect_timeout=0").connect_timeout_seconds is None


def test_providers_parameters_without_meaning_here_are_accepted() -> None:
    parse_url("postgresql://h/d?keepalives=1&gssencmode=disable&channel_binding=prefer")
    assert parse_url("postgresql://h/d?target_session_attrs=read-write").session_kind == "read-write"


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("mysql://h/d", "mysql://"),
        ("h:5432/d", "does not read as"),
        ("postgresql://u:p/w@h/d", "percent-encoded"),
        ("postgresql://u:p#w@h/d", "percent-encoded"),
        ("postgresql://u:p?w@h/d", "percent-encoded"),
        ("postgresql://h:0/d", "port is not a number"),
        ("postgresql://h:99999/d", "port is not a number"),
        ("postgresql://h:x/d", "port is not a number"),
        ("postgresql://a,b/d?port=1,2,3", "2 hosts and 3 ports"),
        ("postgresql://a,,b/d", "host is not"),
        ("postgresql://::1/d", "brackets"),
        ("postgresql://h/d?sslmode=on", "sslmode=on is not one of"),
        ("postgresql://h/d?target_session_attrs=x", "target_session_attrs=x"),
        ("postgresql://h/d?connect_timeout=soon", "whole number"),
        ("postgresql://h/d?sslmode", "has no value"),
        ("postgresql://h/d?pool=5", "'pool' is not known"),
        ("postgresql://h/d?channel_binding=require", "channel_binding"),
        ("postgresql://u:100%@h/d", "%25"),
        ("postgresql://u:%ff@h/d", "not UTF-8"),
        ("postgresql://u:%00@h/d", "zero byte"),
    ],
)
def test_refusals_say_what_is_wrong(url: str, says: str) -> None:
    with pytest.raises(DatabaseUrlError, match="MONOHULL_DATABASE_URL") as caught:
        parse_url(url)
    assert says in str(caught.value)
    assert caught.value.exit_code == 2
