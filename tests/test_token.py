"""A PKCS#11 token: what it gives away to nobody, and what its faults cost. SoftHSM, python-pkcs11, openssl are real."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from hw_sim import soft_token
from hw_sim.soft_token import KEY, LABEL, PIN, SoftToken
from runtime import token as tokens
from runtime.token import TokenError, TokenKey

ES256 = ec.ECDSA(hashes.SHA256())


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SoftToken:
    made = soft_token.make(tmp_path / "token")
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    return made


def tool(*arguments: str) -> str:
    command = ["pkcs11-tool", "--module", str(soft_token.module()), "--token-label", LABEL, "--login", "--pin", PIN]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False, timeout=20)
    return done.stdout + done.stderr


_STEAL = f"""
import pkcs11
from pkcs11 import Attribute, KeyType, ObjectClass
told = []
with pkcs11.lib("{soft_token.module()}").get_token(token_label="{LABEL}").open(user_pin="{PIN}") as session:
    key = session.get_key(object_class=ObjectClass.PRIVATE_KEY, label="{KEY}")
    wrapper = session.generate_key(KeyType.AES, 256)
    for steal in (lambda: key[Attribute.VALUE], lambda: wrapper.wrap_key(key)):
        try:
            steal()
        except pkcs11.exceptions.PKCS11Error as error:
            told.append(type(error).__name__)
print(*told)
"""


def told_by_library() -> str:
    """What the token answers who knows the PIN and wants the private key, bare or wrapped."""
    done = subprocess.run([sys.executable, "-c", _STEAL], capture_output=True, text=True, check=True, timeout=20)
    return done.stdout.strip()


def test_a_key_that_signs_and_never_leaves(token: SoftToken, tmp_path: Path) -> None:
    public = tokens.make_key(token.config)
    assert tokens.public_keys(token.config) == [public]
    key = TokenKey(token.config, public)
    assert not key.guarded  # nobody has asked the token yet
    signature = key.sign(b"evidence", ES256)
    public.verify(signature, b"evidence", ES256)
    assert key.guarded
    assert "Access:     sensitive, always sensitive, never extractable, local" in tool("--list-objects")
    assert told_by_library() == "AttributeSensitive KeyUnextractable"
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    for name, data in (("public.pem", pem), ("signature", signature), ("data", b"evidence")):
        (tmp_path / name).write_bytes(data)
    check = ["openssl", "dgst", "-sha256", "-verify", "public.pem", "-signature", "signature", "data"]
    assert subprocess.run(check, cwd=tmp_path, check=False, capture_output=True).returncode == 0
    for refused in (key.private_numbers, lambda: key.sign(b"", ec.ECDSA(hashes.SHA384()))):
        with pytest.raises(TypeError):
            refused()


def test_a_key_that_was_outside_is_not_called_guarded(token: SoftToken, tmp_path: Path) -> None:
    outside = ec.generate_private_key(ec.SECP256R1())
    pem = outside.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "key.pem").write_bytes(pem)
    imported = ["--import", str(tmp_path / "key.pem"), "--token", LABEL, "--label", KEY, "--id", "01", "--pin", PIN]
    subprocess.run(["softhsm2-util", *imported], check=True, capture_output=True)
    key = TokenKey(token.config, outside.public_key())
    outside.public_key().verify(key.sign(b"evidence", ES256), b"evidence", ES256)
    assert not key.guarded


def test_of_two_keys_of_one_name_the_certified_one_signs_and_the_other_can_be_destroyed(token: SoftToken) -> None:
    old, new = tokens.make_key(token.config), tokens.make_key(token.config)
    for public in (old, new):
        public.verify(TokenKey(token.config, public).sign(b"x", ES256), b"x", ES256)
    assert tokens.destroy_others(token.config, new) == 1
    assert tokens.public_keys(token.config) == [new]
    with pytest.raises(TokenError, match="no key 'BWC-0001' of that public key"):
        TokenKey(token.config, old).sign(b"x", ES256)


FAULTS = {
    "hang": ("no answer within 3.0 s", True),
    "crash": ("ended with status -6", True),
    "gone": ("DeviceRemoved", True),
    "pulled": ("NoSuchToken", True),
    "wrong PIN": ("PinIncorrect", False),
    "no PIN": ("cannot be read", False),
}


@pytest.mark.parametrize(("fault", "told", "again"), [(fault, *told) for fault, told in FAULTS.items()], ids=FAULTS)
def test_what_a_fault_is_called_and_whether_to_try_again(token: SoftToken, fault: str, told: str, again: bool) -> None:
    key = TokenKey(token.config, tokens.make_key(token.config))
    if fault == "pulled":
        token.remove()
    elif fault == "wrong PIN":
        token.config.pin_file.write_text("161803")
    elif fault == "no PIN":
        token.config.pin_file.unlink()
    else:
        token.fault(fault)
    with pytest.raises(TokenError, match=told) as caught:
        key.sign(b"x", ES256)
    assert caught.value.again is again
