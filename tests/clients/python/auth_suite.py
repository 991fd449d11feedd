"""Auth with the official client, unmodified, and with the mails that arrive."""

from __future__ import annotations

import base64
import hmac
import os
import sys
import time
import traceback
import uuid
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from supabase import Client, ClientOptions, create_client
from supabase_auth.errors import AuthApiError

URL = os.environ["MONOHULL_URL"]
PASSWORD = "correct-horse"


def client(key: str = "ANON_KEY", flow: Any = "implicit") -> Client:
    patient = httpx.Client(timeout=60)  # a password is hashed when a busy machine finds the time
    options = ClientOptions(
        auto_refresh_token=False, persist_session=True, flow_type=flow, httpx_client=patient
    )
    return create_client(URL, os.environ[key], options)


admin = client("SERVICE_KEY").auth.admin


def new_email() -> str:
    return f"{uuid.uuid4()}@example.com"


def letter(to: str, number: int = 1) -> dict[str, Any]:
    for _ in range(2400):
        found = httpx.get(f"{URL}/platform/v1/mailbox", params={"to": to}, timeout=60).json()["messages"]
        if len(found) >= number:
            return dict(found[0])
        time.sleep(0.05)
    raise AssertionError(f"{to} got no message {number}")


def follow(link: str) -> str:
    parts = urlsplit(link)
    answer = httpx.get(f"{URL}{parts.path}?{parts.query}", follow_redirects=False)
    same(answer.status_code, 303)
    return answer.headers["location"]


def same(one: Any, other: Any) -> None:
    if one != other:
        raise AssertionError(f"{one!r} is not {other!r}")


def refused(call: Any, code: str) -> None:
    try:
        found = call()
    except AuthApiError as error:
        same(error.code, code)
    else:
        raise AssertionError(f"not refused: {found!r}")


def signed_up() -> tuple[Client, str]:
    email, mine = new_email(), client()
    mine.auth.sign_up({"email": email, "password": PASSWORD})
    follow(letter(email)["link"])
    mine.auth.sign_in_with_password({"email": email, "password": PASSWORD})
    return mine, email


def test_sign_up() -> None:
    email, mine = new_email(), client()
    answer = mine.auth.sign_up({"email": email, "password": PASSWORD, "options": {"data": {"name": "Ada"}}})
    same((answer.session, answer.user.email), (None, email))
    refused(
        lambda: mine.auth.sign_in_with_password({"email": email, "password": PASSWORD}), "email_not_confirmed"
    )
    code = letter(email)["code"]
    verified = mine.auth.verify_otp({"email": email, "token": code, "type": "signup"})
    same(verified.user.id, answer.user.id)
    same(mine.auth.get_user().user.user_metadata["name"], "Ada")


def test_pkce() -> None:
    email, mine = new_email(), client(flow="pkce")
    mine.auth.sign_in_with_otp({"email": email})
    code = parse_qs(urlsplit(follow(letter(email)["link"])).query)["code"][0]
    session = mine.auth.exchange_code_for_session({"auth_code": code, "code_verifier": "", "redirect_to": ""})
    same(session.user.email, email)


def test_recovery() -> None:
    _, email = signed_up()
    mine = client()
    mine.auth.reset_password_for_email(email)
    token = parse_qs(urlsplit(letter(email, 2)["link"]).query)["token"][0]
    mine.auth.verify_otp({"token_hash": token, "type": "recovery"})
    mine.auth.update_user({"password": "another-horse"})
    client().auth.sign_in_with_password({"email": email, "password": "another-horse"})


def test_change_of_address() -> None:
    mine, email = signed_up()
    new = new_email()
    same(mine.auth.update_user({"email": new}).user.new_email, new)
    follow(letter(email, 2)["link"])
    follow(letter(new)["link"])
    same(mine.auth.get_user().user.email, new)


def test_anonymous() -> None:
    mine = client()
    user = mine.auth.sign_in_anonymously().user
    same(user.is_anonymous, True)
    email = new_email()
    mine.auth.update_user({"email": email})
    follow(letter(email)["link"])
    after = mine.auth.get_user().user
    same((after.id, after.is_anonymous, after.email), (user.id, False, email))


def test_phone() -> None:
    phone, mine = f"49{uuid.uuid4().int % 10**10:010d}", client()
    mine.auth.sign_in_with_otp({"phone": phone})
    answer = mine.auth.verify_otp({"phone": phone, "token": letter(phone)["code"], "type": "sms"})
    same(answer.user.phone, phone)


def as_service(path: str, body: dict[str, Any]) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {os.environ['SERVICE_KEY']}"}
    answer = httpx.post(f"{URL}/auth/v1{path}", json=body, headers=headers)
    same(answer.status_code, 201)
    return dict(answer.json())


def code_of(answer: httpx.Response) -> str:
    return parse_qs(urlsplit(answer.headers["location"]).query)["code"][0]


def exchange(mine: Client, code: str) -> Any:
    return mine.auth.exchange_code_for_session({"auth_code": code, "code_verifier": "", "redirect_to": ""})


def test_single_sign_on() -> None:
    mine = client(flow="pkce")
    refused(lambda: mine.auth.sign_in_with_sso({"domain": "nowhere.example"}), "sso_provider_not_found")
    saml = {"type": "saml", "metadata_xml": os.environ["SAML_METADATA"], "domains": ["corp.example"]}
    made = as_service("/admin/sso/providers", saml)
    target = mine.auth.sign_in_with_sso({"domain": "corp.example"}).url
    answer = httpx.post(f"{URL}/auth/v1/sso/saml/acs", data=httpx.get(target).json())
    same(answer.status_code, 303)
    user = exchange(mine, code_of(answer)).user
    same((user.email, user.app_metadata["provider"]), ("ada@corp.example", f"sso:{made['id']}"))


def travel(start: str) -> httpx.Response:
    """Follow a sign-in to the provider, which asks nothing, and back; return our last redirect."""
    issuer = os.environ["OIDC_ISSUER"]
    at_provider = start if start.startswith(issuer) else httpx.get(start).headers["location"]
    same(at_provider.startswith(issuer), True)
    back = urlsplit(httpx.get(at_provider).headers["location"])
    answer = httpx.get(f"{URL}{back.path}?{back.query}")
    same(answer.status_code, 302)
    return answer


def test_sign_in_with_a_provider() -> None:
    email = new_email()

    def asked(email: str) -> Any:
        options = {"redirect_to": "http://127.0.0.1:3000/in", "query_params": {"login_hint": email}}
        return {"provider": "keycloak", "options": options}

    mine = client(flow="pkce")
    answer = travel(mine.auth.sign_in_with_oauth(asked(email)).url)
    same(answer.headers["location"].partition("?")[0], "http://127.0.0.1:3000/in")
    gone = exchange(mine, code_of(answer))
    same((gone.user.email, gone.user.app_metadata["provider"]), (email, "keycloak"))
    same(bool(gone.session.provider_token), True)
    same([identity.id for identity in mine.auth.get_user_identities().identities], [email])
    again: Any = {"auth_code": code_of(answer), "code_verifier": "v" * 64, "redirect_to": ""}
    refused(lambda: mine.auth.exchange_code_for_session(again), "flow_state_not_found")

    implicit = client()
    fragment = parse_qs(
        urlsplit(travel(implicit.auth.sign_in_with_oauth(asked(email)).url).headers["location"]).fragment
    )
    implicit.auth.set_session(fragment["access_token"][0], fragment["refresh_token"][0])
    same(implicit.auth.get_user().user.id, gone.user.id)

    anybody = client(flow="pkce")
    anonymous = anybody.auth.sign_in_anonymously().user
    other = new_email()
    linked = exchange(anybody, code_of(travel(anybody.auth.link_identity(asked(other)).url))).user
    same((linked.id, linked.is_anonymous, linked.email), (anonymous.id, False, other))
    [identity] = anybody.auth.get_user_identities().identities
    refused(lambda: anybody.auth.unlink_identity(identity), "single_identity_not_deletable")


def test_administration() -> None:
    email = new_email()
    user = admin.create_user({"email": email, "password": PASSWORD, "email_confirm": True}).user
    same(admin.get_user_by_id(user.id).user.email, email)
    same(admin.update_user_by_id(user.id, {"user_metadata": {"a": 1}}).user.user_metadata["a"], 1)
    same(len(admin.list_users(page=1, per_page=1)), 1)
    link = admin.generate_link({"type": "recovery", "email": email})
    same(link.properties.verification_type, "recovery")
    same(
        client().auth.verify_otp({"token_hash": link.properties.hashed_token, "type": "recovery"}).user.id,
        user.id,
    )
    guest = new_email()
    same(admin.invite_user_by_email(guest).user.email, guest)
    same(letter(guest)["template"], "invite")
    admin.delete_user(user.id)
    refused(lambda: admin.get_user_by_id(user.id), "user_not_found")


def totp(secret: str, steps: int = 0) -> str:
    counter = (int(time.time()) // 30 + steps).to_bytes(8, "big")
    mac = hmac.new(base64.b32decode(secret), counter, "sha1").digest()
    start = mac[19] & 15
    return str((int.from_bytes(mac[start : start + 4], "big") & 0x7FFFFFFF) % 10**6).zfill(6)


def test_second_factor() -> None:
    mine, email = signed_up()
    enrolled = mine.auth.mfa.enroll({"factor_type": "totp", "friendly_name": "phone", "issuer": "Shop"})
    secret = enrolled.totp.secret
    challenge = mine.auth.mfa.challenge({"factor_id": enrolled.id})
    answer: Any = {"factor_id": enrolled.id, "challenge_id": challenge.id, "code": "000000x"}
    refused(lambda: mine.auth.mfa.verify(answer), "mfa_verification_failed")
    mine.auth.mfa.verify({**answer, "code": totp(secret, -1)})
    same(mine.auth.mfa.get_authenticator_assurance_level().current_level, "aal2")
    later = client()
    later.auth.sign_in_with_password({"email": email, "password": PASSWORD})
    level = later.auth.mfa.get_authenticator_assurance_level()
    same((level.current_level, level.next_level), ("aal1", "aal2"))
    refused(lambda: later.auth.update_user({"password": "another-horse"}), "insufficient_aal")
    later.auth.mfa.challenge_and_verify({"factor_id": enrolled.id, "code": totp(secret, 1)})
    later.auth.update_user({"password": "another-horse"})
    same([factor.id for factor in later.auth.mfa.list_factors().totp], [enrolled.id])
    user_id = later.auth.get_user().user.id
    same([factor.id for factor in admin.mfa.list_factors({"user_id": user_id})], [enrolled.id])
    same(later.auth.mfa.unenroll({"factor_id": enrolled.id}).id, enrolled.id)
    later.auth.refresh_session()
    same(later.auth.mfa.get_authenticator_assurance_level().current_level, "aal1")


def test_second_factor_by_phone() -> None:
    mine, _ = signed_up()
    phone = f"49{uuid.uuid4().int % 10**10:010d}"
    enrolled = mine.auth.mfa.enroll({"factor_type": "phone", "phone": phone})
    challenge = mine.auth.mfa.challenge({"factor_id": enrolled.id, "channel": "sms"})
    answer: Any = {"factor_id": enrolled.id, "challenge_id": challenge.id, "code": letter(phone)["code"]}
    mine.auth.mfa.verify(answer)
    user_id = mine.auth.get_user().user.id
    same(admin.mfa.delete_factor({"user_id": user_id, "id": enrolled.id}).id, enrolled.id)


def main() -> int:
    failed = 0
    for name, check in list(globals().items()):
        if name.startswith("test_"):
            try:
                check()
            except Exception:  # noqa: BLE001 the boundary: each is reported
                failed += 1
                sys.stderr.write(f"{name}\n{traceback.format_exc()}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
