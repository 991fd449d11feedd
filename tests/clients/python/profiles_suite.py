"""The client by itself, without keys, against the settings that auth-js keeps to: what each of them answers.

MAIN: autoconfirm, RS256. CONFIRMING: nothing is confirmed by itself. CLOSED: nobody signs up. SHARED:
autoconfirm, HS256. ALONE: keys that were given, and the routes at the root. `profiles.test.mjs` of the other
client asks the same.
"""

from __future__ import annotations

import base64
import hmac
import json
import os
import sys
import time
import traceback
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from supabase_auth import SyncGoTrueClient
from supabase_auth.errors import AuthError, AuthWeakPasswordError
from supabase_auth.types import PageParams

MAIN, CONFIRMING, CLOSED, SHARED = (os.environ[name] for name in ("MAIN", "CONFIRMING", "CLOSED", "SHARED"))
ALONE, ALONE_KID = os.environ["ALONE"], os.environ["ALONE_KID"]
SERVICE_KEY, JWT_SECRET = os.environ["SERVICE_KEY"], os.environ["JWT_SECRET"]
PASSWORD = "correct-horse"


def client(url: str = MAIN, *, key: str | None = None, flow: Any = "implicit") -> SyncGoTrueClient:
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    patient = httpx.Client(timeout=60, follow_redirects=True)  # a password is hashed when there is time
    return SyncGoTrueClient(
        url=f"{url}/auth/v1", headers=headers, auto_refresh_token=False, http_client=patient, flow_type=flow
    )


admin = client(key=SERVICE_KEY).admin


def new_email() -> str:
    return f"{uuid.uuid4()}@example.com"


def new_phone() -> str:
    return f"49{uuid.uuid4().int % 10**10:010d}"


def same(one: Any, other: Any) -> None:
    if one != other:
        raise AssertionError(f"{one!r} is not {other!r}")


def refused(call: Any) -> tuple[int, str | None, str]:
    """Return what a refusal says."""
    try:
        found = call()
    except AuthError as error:
        return getattr(error, "status", 0), error.code, error.message
    raise AssertionError(f"not refused: {found!r}")


def signed_up(url: str = MAIN) -> tuple[SyncGoTrueClient, Any]:
    auth = client(url)
    answer = auth.sign_up({"email": new_email(), "password": PASSWORD})
    return auth, answer


def test_a_new_user_at_once() -> None:
    auth, email = client(), new_email()
    options: Any = {"data": {"status": "alpha"}}
    answer = auth.sign_up({"email": email.upper(), "password": PASSWORD, "options": options})
    user, session = answer.user, answer.session
    same((user.email, user.role, user.aud, user.phone, user.is_anonymous), (email, "authenticated", "authenticated", "", False))  # fmt: skip  # noqa: E501
    same(user.app_metadata, {"provider": "email", "providers": ["email"]})
    same((user.user_metadata["status"], user.user_metadata["email_verified"]), ("alpha", True))
    for name in ("created_at", "updated_at", "email_confirmed_at", "confirmed_at", "last_sign_in_at"):
        assert getattr(user, name) is not None, name
    same((session.token_type, session.expires_in, session.user.id), ("bearer", 3600, user.id))
    same([identity.provider for identity in user.identities], ["email"])
    again = refused(lambda: client().sign_up({"email": email, "password": PASSWORD}))
    same(again, (422, "user_already_exists", "User already registered"))
    same(auth.get_user().user.id, user.id)
    same([one.identity_id for one in auth.get_user_identities().identities], [user.identities[0].identity_id])


def test_passwords() -> None:
    _, answer = signed_up()
    email = answer.user.email
    for wrong in (
        {"email": email, "password": "wrong-horse"},
        {"email": new_email(), "password": PASSWORD},
        {"phone": new_phone(), "password": PASSWORD},
    ):
        found = refused(lambda given=wrong: client().sign_in_with_password(given))
        same(found, (400, "invalid_credentials", "Invalid login credentials"))
    try:
        client().sign_up({"email": new_email(), "password": "12345"})
    except AuthWeakPasswordError as error:
        same((error.status, error.code, error.reasons), (422, "weak_password", ["length"]))
    else:
        raise AssertionError("a weak password was taken")
    found = refused(lambda: client().sign_up({"email": "not an address", "password": PASSWORD}))
    same(found, (400, "validation_failed", "Unable to validate email address: invalid format"))
    found = refused(lambda: client().sign_up({"phone": "+abc", "password": PASSWORD}))
    same(found[:2], (400, "validation_failed"))
    auth = client()
    same(auth.sign_in_with_password({"email": email, "password": PASSWORD}).session.user.email, email)
    found = refused(lambda: auth.update_user({"password": PASSWORD}))
    same(found, (422, "same_password", "New password should be different from the old password."))
    auth.update_user({"password": "another-horse", "data": {"hello": "world"}})
    same(auth.get_user().user.user_metadata["hello"], "world")
    client().sign_in_with_password({"email": email, "password": "another-horse"})


def test_sessions_go_on_once_each() -> None:
    auth, answer = signed_up()
    renewed = auth.refresh_session().session
    assert renewed.refresh_token != answer.session.refresh_token
    elsewhere = client()
    adopted = elsewhere.set_session(renewed.access_token, renewed.refresh_token).session
    same(adopted.access_token, renewed.access_token)
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(client().refresh_session, renewed.refresh_token) for _ in range(2)]
        same(len({each.result().session.refresh_token for each in asked}), 1)
    same(refused(lambda: client().refresh_session("wrong"))[:2], (400, "refresh_token_not_found"))
    same(refused(lambda: client().get_user("not.a.token"))[1], "bad_jwt")
    same(refused(lambda: client().refresh_session())[0], 400)
    same(client().get_user(), None)


def test_a_nonce_for_a_new_password() -> None:
    auth, _ = signed_up()
    auth.reauthenticate()
    same(refused(lambda: client().reauthenticate())[0], 400)


def test_signing_out_in_each_scope() -> None:
    auth, answer = signed_up()
    password: Any = {"email": answer.user.email, "password": PASSWORD}
    others = [client().sign_in_with_password(password).session for _ in range(2)]
    auth.sign_out({"scope": "others"})
    for other in others:
        same(
            refused(lambda token=other.access_token: client().get_user(token))[:2], (403, "session_not_found")
        )
    same(auth.get_user().user.id, answer.user.id)
    auth.sign_out({"scope": "local"})
    same(auth.get_session(), None)
    token = auth.sign_in_with_password(password).session.access_token
    admin.sign_out(token)
    same(refused(lambda: client().get_user(token))[:2], (403, "session_not_found"))
    status, _, message = refused(lambda: admin.sign_out("this-is-a-bad-token"))
    same((status, message.startswith("invalid JWT:")), (403, True))


def test_claims() -> None:
    auth, answer = signed_up()
    found = auth.get_claims(answer.session.access_token)
    same((found["claims"]["email"], found["claims"]["aal"], found["headers"]["alg"]), (answer.user.email, "aal1", "RS256"))  # fmt: skip  # noqa: E501
    shared, theirs = signed_up(SHARED)
    same(shared.get_claims()["claims"]["email"], theirs.user.email)
    head, body, _ = answer.session.access_token.split(".")
    forged = f"{head}.{body}.{base64.urlsafe_b64encode(os.urandom(256)).decode().rstrip('=')}"
    refused(lambda: auth.get_claims(forged))


def test_anonymous_and_permanent_by_a_new_address() -> None:
    auth, email = client(), new_email()
    user = auth.sign_in_anonymously({"options": {"data": {"hello": "world"}}}).user
    same((user.is_anonymous, user.user_metadata, user.app_metadata, user.identities), (True, {"hello": "world"}, {}, []))  # fmt: skip  # noqa: E501
    permanent = auth.update_user({"email": email}).user
    same((permanent.id, permanent.email, permanent.is_anonymous), (user.id, email, False))
    auth.update_user({"password": PASSWORD})
    same(client().sign_in_with_password({"email": email, "password": PASSWORD}).user.id, user.id)
    found = refused(lambda: client(CONFIRMING).sign_in_anonymously())
    same(found, (422, "anonymous_provider_disabled", "Anonymous sign-ins are disabled"))


def test_codes_and_links() -> None:
    auth, email = client(), new_email()
    answer = auth.sign_in_with_otp({"email": email})
    same((answer.user, answer.session), (None, None))
    nobody: Any = {"email": new_email(), "options": {"should_create_user": False}}
    same(refused(lambda: auth.sign_in_with_otp(nobody))[:2], (422, "otp_disabled"))
    same(refused(lambda: auth.sign_in_with_otp({"phone": new_phone()}))[:2], (422, "sms_send_failed"))
    auth.reset_password_for_email(new_email(), {"redirect_to": f"{MAIN}/welcome"})
    auth.resend({"type": "signup", "email": email})
    for wrong in (
        {"email": email, "token": "123456", "type": "email"},
        {"email": email, "token": "123456", "type": "signup"},
        {"phone": new_phone(), "token": "123456", "type": "sms"},
        {"token_hash": "unknown", "type": "email"},
    ):
        found = refused(lambda given=wrong: auth.verify_otp(given))
        message = "Email link" if "token_hash" in wrong else "Token has expired"
        same((*found[:2], found[2].startswith(message)), (403, "otp_expired", True))
    link = admin.generate_link({"type": "magiclink", "email": email})
    session = auth.verify_otp({"token_hash": link.properties.hashed_token, "type": "email"}).session
    same((session.user.email, auth.get_claims()["claims"]["amr"][0]["method"]), (email, "otp"))
    code = admin.generate_link({"type": "recovery", "email": email}).properties.email_otp
    same(client().verify_otp({"email": email, "token": code, "type": "recovery"}).user.email, email)


def test_a_number_that_gets_no_message() -> None:
    auth = client()
    auth.sign_in_with_otp({"phone": "1234567890"})
    answer = auth.verify_otp({"phone": "+1234567890", "token": "123456", "type": "sms"})
    same((answer.user.phone, answer.user.app_metadata["provider"]), ("1234567890", "phone"))
    assert answer.user.phone_confirmed_at is not None


def test_what_is_confirmed_by_nobody() -> None:
    auth, email = client(CONFIRMING), new_email()
    answer = auth.sign_up({"email": email, "password": PASSWORD})
    same((answer.session, answer.user.email, answer.user.email_confirmed_at), (None, email, None))
    assert answer.user.confirmation_sent_at is not None
    found = refused(lambda: auth.sign_in_with_password({"email": email, "password": PASSWORD}))
    same(found, (400, "email_not_confirmed", "Email not confirmed"))
    found = refused(lambda: auth.sign_up({"phone": new_phone(), "password": PASSWORD}))
    same(found[:2], (422, "sms_send_failed"))
    found = refused(lambda: auth.verify_otp({"email": email, "token": "000000", "type": "signup"}))
    same(found[:2], (403, "otp_expired"))
    with ThreadPoolExecutor(4) as pool:  # within a second, however slow the machine is
        asked = [pool.submit(client(CONFIRMING).resend, {"type": "signup", "email": email}) for _ in range(4)]
    late = [error for each in asked if (error := each.exception()) is not None]
    same({error.code for error in late if isinstance(error, AuthError)}, {"over_email_send_rate_limit"})


def test_nobody_signs_up_where_that_is_off() -> None:
    auth = client(CLOSED)
    for address in ({"email": new_email()}, {"phone": new_phone()}):
        found = refused(lambda given=address: auth.sign_up({**given, "password": PASSWORD}))
        same(found, (422, "signup_disabled", "Signups not allowed for this instance"))
    found = refused(lambda: auth.sign_in_with_otp({"phone": new_phone()}))
    same(found[:2], (400, "phone_provider_disabled"))
    wanted: Any = {"email": new_email(), "password": PASSWORD, "email_confirm": True}
    user = client(CLOSED, key=SERVICE_KEY).admin.create_user(wanted).user
    assert user.email_confirmed_at is not None


def test_what_the_settings_leave_out() -> None:
    auth, answer = signed_up()
    found = refused(lambda: auth.link_identity({"provider": "google"}))
    same(found, (404, "manual_linking_disabled", "Manual linking is disabled"))
    same(refused(lambda: auth.unlink_identity(answer.user.identities[0]))[0], 404)
    found = refused(lambda: auth.sign_in_with_sso({"domain": "corp.example"}))
    same(found, (404, "saml_provider_disabled", "SAML 2.0 is disabled"))
    found = refused(lambda: auth.sign_in_with_id_token({"provider": "google", "token": "bad"}))
    same((found[0], found[2]), (400, "Bad ID token"))
    to = auth.sign_in_with_oauth({"provider": "google"})
    same((to.provider, urlsplit(to.url).path), ("google", "/auth/v1/authorize"))


def test_administration() -> None:
    email, user_id = new_email(), str(uuid.uuid4())
    wanted: Any = {"email": email, "password": PASSWORD, "id": user_id, "email_confirm": True}
    user = admin.create_user({**wanted, "user_metadata": {"a": 1}, "app_metadata": {"roles": ["x"]}}).user
    same((user.id, user.email, user.user_metadata["a"]), (user_id, email, 1))
    same(user.app_metadata, {"provider": "email", "providers": ["email"], "roles": ["x"]})
    found = refused(lambda: admin.create_user({"email": email, "password": PASSWORD}))
    same(found[:2], (422, "email_exists"))
    same(refused(lambda: admin.get_user_by_id(str(uuid.uuid4())))[:2], (404, "user_not_found"))
    same(len(admin.list_users(page=1, per_page=2)), 2)
    change: Any = {"email": new_email(), "user_metadata": {"b": 2}, "ban_duration": "24h"}
    changed = admin.update_user_by_id(user_id, change).user
    same((changed.user_metadata["b"], bool(changed.banned_until)), (2, True))
    password: Any = {"email": changed.email, "password": PASSWORD}
    same(refused(lambda: client().sign_in_with_password(password))[:2], (400, "user_banned"))
    admin.update_user_by_id(user_id, {"ban_duration": "none"})
    client().sign_in_with_password(password)
    admin.delete_user(user_id)
    same(refused(lambda: admin.get_user_by_id(user_id))[:2], (404, "user_not_found"))
    soft = admin.create_user({**wanted, "id": str(uuid.uuid4()), "email": new_email()}).user
    admin.delete_user(soft.id, should_soft_delete=True)
    invited = admin.invite_user_by_email(new_email(), {"data": {"a": 1}}).user
    same((bool(invited.invited_at), invited.user_metadata), (True, {"a": 1}))
    same(refused(lambda: admin.invite_user_by_email("nonsense"))[:2], (400, "validation_failed"))
    same(refused(client().admin.list_users)[:2], (401, "no_authorization"))


def test_links_that_an_administrator_makes() -> None:
    email, newer, to = new_email(), new_email(), "http://127.0.0.1:3000/welcome"
    signup = admin.generate_link({"type": "signup", "email": email, "password": PASSWORD, "options": {"data": {"status": "alpha"}, "redirect_to": to}})  # fmt: skip  # noqa: E501
    same((signup.user.email, signup.user.user_metadata), (email, {"status": "alpha"}))
    same((signup.properties.verification_type, signup.properties.redirect_to), ("signup", to))
    query = parse_qs(urlsplit(signup.properties.action_link).query)
    same((query["type"], query["token"]), (["signup"], [signup.properties.hashed_token]))
    for kind in ("email_change_current", "email_change_new"):
        wanted: Any = {"type": kind, "email": email, "new_email": newer}
        link = admin.generate_link(wanted)
        same((link.properties.verification_type, link.user.new_email), (kind, newer))
    same(admin.generate_link({"type": "recovery", "email": email}).properties.verification_type, "recovery")
    same(admin.generate_link({"type": "invite", "email": new_email()}).properties.verification_type, "invite")
    found = refused(lambda: admin.generate_link({"type": "recovery", "email": new_email()}))
    same(found[:2], (404, "user_not_found"))


def totp(secret: str) -> str:
    mac = hmac.new(base64.b32decode(secret), (int(time.time()) // 30).to_bytes(8, "big"), "sha1").digest()
    start = mac[19] & 15
    return str((int.from_bytes(mac[start : start + 4], "big") & 0x7FFFFFFF) % 10**6).zfill(6)


def test_second_factors() -> None:
    auth, answer = signed_up()
    made = auth.mfa.enroll({"factor_type": "totp", "friendly_name": "app", "issuer": "x"})
    same(made.type, "totp")
    same(
        auth.mfa.enroll({"factor_type": "phone", "phone": "+1234567890", "friendly_name": "p"}).type, "phone"
    )
    asked = auth.mfa.challenge({"factor_id": made.id})
    wrong: Any = {"factor_id": made.id, "challenge_id": asked.id, "code": "000000"}
    same(refused(lambda: auth.mfa.verify(wrong))[:2], (422, "mfa_verification_failed"))
    nothing = str(uuid.uuid4())
    same(refused(lambda: auth.mfa.challenge({"factor_id": nothing}))[:2], (404, "mfa_factor_not_found"))
    level = auth.mfa.get_authenticator_assurance_level()
    same((level.current_level, level.next_level), ("aal1", "aal1"))
    strong = auth.mfa.verify({**wrong, "code": totp(made.totp.secret)})
    same((strong.token_type, strong.user.email), ("bearer", answer.user.email))
    same([factor.status for factor in auth.mfa.list_factors().totp], ["verified"])
    same(auth.mfa.get_authenticator_assurance_level().current_level, "aal2")
    same(auth.mfa.unenroll({"factor_id": made.id}).id, made.id)


def test_applications() -> None:
    oauth = admin.oauth
    wanted: Any = {"client_name": "A", "redirect_uris": ["https://example.com/callback"]}
    made = oauth.create_client(wanted).client
    same(
        (list(made.grant_types), made.client_type), (["authorization_code", "refresh_token"], "confidential")
    )
    change: Any = {"redirect_uris": ["https://example.com/b"]}
    same(oauth.update_client(made.client_id, change).client.client_name, "A")
    assert oauth.regenerate_client_secret(made.client_id).client.client_secret != made.client_secret
    same(len(oauth.list_clients(PageParams(page=1, per_page=1)).clients), 1)
    oauth.delete_client(made.client_id)
    same(refused(lambda: oauth.get_client(made.client_id))[0], 404)


def test_a_proof_key_for_the_link() -> None:
    auth, email = client(flow="pkce"), new_email()
    auth.sign_up({"email": email, "password": PASSWORD})
    auth.reset_password_for_email(email)
    code: Any = {"auth_code": "nobody", "code_verifier": "", "redirect_to": ""}
    same(refused(lambda: auth.exchange_code_for_session(code))[0], 404)
    url = auth.sign_in_with_oauth({"provider": "google"}).url
    query = parse_qs(urlsplit(url).query)
    same((query["code_challenge_method"], len(query["code_challenge"][0])), (["s256"], 43))
    there = httpx.get(url, follow_redirects=False)
    same((there.status_code, urlsplit(there.headers["location"]).hostname), (302, "accounts.google.com"))


def older(claims: dict[str, Any]) -> str:
    """Sign what administrators of GoTrue carry in the clients' own suites: a token that never ends."""

    def part(given: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(given).encode()).decode().rstrip("=")

    signed = f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part(claims)}"
    mac = hmac.new(JWT_SECRET.encode(), signed.encode(), "sha256").digest()
    return f"{signed}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"


def test_keys() -> None:
    key = older({"role": "supabase_admin", "iss": "supabase"})
    assert client(key=key).admin.list_users(page=1, per_page=1)


def test_a_server_that_stands_alone() -> None:
    patient = httpx.Client(timeout=60, follow_redirects=True)
    auth = SyncGoTrueClient(url=ALONE, auto_refresh_token=False, http_client=patient)
    user = auth.sign_up({"email": new_email(), "password": PASSWORD}).user
    found = auth.get_claims()
    same((found["claims"]["sub"], found["headers"]["kid"]), (user.id, ALONE_KID))
    key = older({"sub": "1234567890", "role": "supabase_admin", "iat": int(time.time())})
    keeper = SyncGoTrueClient(
        url=ALONE, headers={"Authorization": f"Bearer {key}"}, http_client=patient
    ).admin
    change: Any = {"user_metadata": {"favorite_color": "yellow"}}
    same(keeper.update_user_by_id(user.id, change).user.user_metadata["favorite_color"], "yellow")
    keeper.delete_user(user.id)
    same(refused(lambda: keeper.get_user_by_id(user.id))[:2], (404, "user_not_found"))


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
