"""Envelopes open for those who may, and for nobody else."""

from __future__ import annotations

import hmac

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from monohull.kernel import crypto
from monohull.kernel.crypto import Key, Keyring

SECRET = "a secret of the instance, long enough"
NEW, OLD = Key.derive("new " + SECRET, "columns"), Key.derive(SECRET, "columns")
RING = Keyring(NEW, OLD)
ENVELOPE = crypto.encrypt(b"plain", keyring=RING, context=b"c")


class TestDerivedKeys:
    def test_rfc_5869_with_our_salt(self) -> None:
        """A change here locks people out of what they have encrypted."""
        extracted = hmac.digest(b"monohull", b"secret", "sha256")
        expanded = hmac.digest(extracted, b"purpose\x01", "sha256")
        assert crypto.derive_key("secret", "purpose") == expanded

    def test_text_and_bytes_are_the_same_secret(self) -> None:
        assert crypto.derive_key("schlüssel", "p") == crypto.derive_key("schlüssel".encode(), "p")

    @given(st.text(min_size=1), st.text(min_size=1))
    def test_each_purpose_has_a_key_of_its_own(self, one: str, two: str) -> None:
        same = crypto.derive_key(SECRET, one) == crypto.derive_key(SECRET, two)
        assert same is (one == two)

    @pytest.mark.parametrize("length", [1, 16, 64])
    def test_length_is_in_bytes(self, length: int) -> None:
        assert len(crypto.derive_key(SECRET, "p", length)) == length

    @pytest.mark.parametrize(("secret", "purpose"), [("", "p"), (b"", "p"), ("s", "")])
    def test_nothing_is_derived_from_nothing(self, secret: str | bytes, purpose: str) -> None:
        with pytest.raises(ValueError, match="one of them is empty"):
            crypto.derive_key(secret, purpose)

    def test_a_password_needs_no_quoting(self) -> None:
        password = crypto.derive_password(SECRET, "authenticator")
        assert len(password) == 43
        assert password.replace("-", "").replace("_", "").isalnum()
        assert password == crypto.derive_password(SECRET, "authenticator")


class TestEnvelope:
    @given(st.binary(max_size=4096), st.binary(max_size=64))
    def test_what_is_sealed_opens(self, plaintext: bytes, context: bytes) -> None:
        envelope = crypto.encrypt(plaintext, keyring=RING, context=context)
        assert crypto.decrypt(envelope, keyring=RING, context=context) == plaintext

    def test_its_text_form(self) -> None:
        form, key_id, nonce, sealed = crypto.encrypt(b"", keyring=RING, context=b"c").split(".")
        assert (form, key_id, len(nonce), len(sealed)) == ("mh1", NEW.id, 16, 22)

    def test_no_two_are_alike(self) -> None:
        assert len({crypto.encrypt(b"x", keyring=RING, context=b"c") for _ in range(100)}) == 100

    @given(st.binary(), st.binary())
    def test_another_context_does_not_open_it(self, one: bytes, two: bytes) -> None:
        envelope = crypto.encrypt(b"x", keyring=RING, context=one)
        if one == two:
            assert crypto.decrypt(envelope, keyring=RING, context=two) == b"x"
        else:
            with pytest.raises(crypto.NotAuthentic):
                crypto.decrypt(envelope, keyring=RING, context=two)

    @given(st.integers(0, len(ENVELOPE) - 1), st.sampled_from("AZaz09-_.=! é"))
    def test_any_changed_character_is_noticed(self, at: int, put: str) -> None:
        assume(put != ENVELOPE[at])
        with pytest.raises(crypto.DecryptionError):
            crypto.decrypt(ENVELOPE[:at] + put + ENVELOPE[at + 1 :], keyring=RING, context=b"c")

    @given(st.text(alphabet="mh1.AZaz09-_=é\n", max_size=60))
    def test_no_text_raises_anything_else(self, text: str) -> None:
        with pytest.raises(crypto.DecryptionError):
            crypto.decrypt(text, keyring=RING, context=b"c")

    @pytest.mark.parametrize(
        ("envelope", "message"),
        [
            ("", "four parts"),
            ("mh1.a.b", "four parts"),
            ("mh2.key.AAAAAAAAAAAAAAAA.AAAA", "format is not mh1"),
            ("mh1.key.AAAA.AAAA", "key id or nonce"),
            ("mh1..AAAAAAAAAAAAAAAA.AAAA", "key id or nonce"),
            ("mh1.key.AAAAAAAAAAAAAAAA.A", "not base64url"),
            ("mh1.key.AAAAAAAAAAAAAAAA.A+==", "not base64url"),
            ("mh1.key.AAAAAAAAAAAAAAAA.AB", "not canonical"),
        ],
    )
    def test_what_is_no_envelope_says_why(self, envelope: str, message: str) -> None:
        with pytest.raises(crypto.MalformedEnvelope, match=message):
            crypto.decrypt(envelope, keyring=RING, context=b"c")


class TestRotation:
    def test_an_older_key_still_opens_and_no_longer_seals(self) -> None:
        before = crypto.encrypt(b"x", keyring=Keyring(OLD), context=b"c")
        assert crypto.decrypt(before, keyring=RING, context=b"c") == b"x"
        assert not crypto.is_current(before, keyring=RING)
        assert crypto.is_current(crypto.encrypt(b"x", keyring=RING, context=b"c"), keyring=RING)

    def test_a_key_that_left_the_ring_is_named(self) -> None:
        before = crypto.encrypt(b"x", keyring=Keyring(OLD), context=b"c")
        with pytest.raises(crypto.UnknownKey, match=OLD.id) as caught:
            crypto.decrypt(before, keyring=Keyring(NEW), context=b"c")
        assert caught.value.key_id == OLD.id

    def test_another_key_of_the_same_name_does_not_open(self) -> None:
        envelope = crypto.encrypt(b"x", keyring=Keyring(Key("k", b"1" * 32)), context=b"c")
        with pytest.raises(crypto.NotAuthentic):
            crypto.decrypt(envelope, keyring=Keyring(Key("k", b"2" * 32)), context=b"c")

    def test_two_keys_of_one_name_are_refused(self) -> None:
        with pytest.raises(ValueError, match="same id"):
            Keyring(Key("k", b"1" * 32), Key("k", b"2" * 32))

    @pytest.mark.parametrize(
        ("key_id", "material", "message"),
        [("", b"1" * 32, "key id"), ("a.b", b"1" * 32, "key id"), ("k", b"1" * 16, "32 bytes, not 16")],
    )
    def test_a_bad_key_is_refused(self, key_id: str, material: bytes, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            Key(key_id, material)

    def test_no_repr_shows_a_key(self) -> None:
        key = Key("k", b"s3cret-s3cret-s3cret-s3cret-1234")
        assert "s3cret" not in f"{key!r} {key} {Keyring(key)!r} {[key]}"


@pytest.mark.parametrize(
    ("left", "right", "equal"),
    [("a", "a", True), ("a", b"a", True), ("é", "é", True), ("a", "b", False), ("a", "aa", False)],
)
def test_constant_time_equal(left: str | bytes, right: str | bytes, equal: bool) -> None:
    assert crypto.constant_time_equal(left, right) is equal
