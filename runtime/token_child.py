"""One deed of a PKCS#11 token as a program of its own, which `runtime.token` starts.

A token's library is foreign machine code: what hangs in it is killed with this process, and what crashes there crashes
nothing else. The request is one JSON object on standard input, so that no PIN stands on a command line; the answer is
one JSON object on standard output. It imports no more than it needs.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

_P256 = bytes.fromhex("06082a8648ce3d030107")  # the object identifier of the curve, DER
_PIN_ERRORS = ("PinExpired", "PinIncorrect", "PinInvalid", "PinLenRange", "PinLocked", "UserPinNotInitialized")
_ID_BYTES = 8
MISSING, PIN, TOKEN = "missing", "pin", "token"  # what went wrong: our library, the PIN, anything else


def main() -> int:
    """Do what is asked and say how it ended."""
    asked = json.load(sys.stdin)
    # Who started this process may be gone before its patience is: the kernel ends what hangs in foreign code.
    signal.setitimer(signal.ITIMER_REAL, asked["seconds"])
    try:
        answer = _carry_out(asked)
    except ImportError as error:
        answer = {"error": MISSING, "message": f"{error}; install bodycam[camera]"}
    except Exception as error:  # noqa: BLE001 - there is no other way to tell
        name = type(error).__name__
        answer = {"error": PIN if name in _PIN_ERRORS else TOKEN, "message": f"{name}: {error}".rstrip(": ")}
    sys.stdout.write(json.dumps(answer) + "\n")
    return 0


def _carry_out(asked: Mapping[str, Any]) -> dict[str, Any]:
    import pkcs11  # noqa: PLC0415 - a machine without a token needs no library for one

    deed, writes = _DEEDS[asked["do"]]
    token = pkcs11.lib(asked["module"]).get_token(token_label=asked["label"])
    with token.open(rw=writes, user_pin=asked["pin"]) as session:
        return deed(session, asked)


def _sign(session: Any, asked: Mapping[str, Any]) -> dict[str, Any]:
    from pkcs11 import Mechanism  # noqa: PLC0415

    key = _private(session, asked["key"], asked["point"])
    signature = key.sign(bytes.fromhex(asked["digest"]), mechanism=Mechanism.ECDSA)
    return {"signature": signature.hex(), "guarded": _guarded(key)}


def _make(session: Any, asked: Mapping[str, Any]) -> dict[str, Any]:
    from pkcs11 import Attribute, KeyType, MechanismFlag  # noqa: PLC0415

    curve = session.create_domain_parameters(KeyType.EC, {Attribute.EC_PARAMS: _P256}, local=True)
    public, private = curve.generate_keypair(
        id=os.urandom(_ID_BYTES),
        label=asked["key"],
        store=True,
        capabilities=MechanismFlag.SIGN | MechanismFlag.VERIFY,
        private_template={Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False, Attribute.DERIVE: False},
    )
    if not _guarded(private):
        private.destroy()
        public.destroy()
        raise RuntimeError("the token made a key that can leave it; it was destroyed")
    return {"point": _point(public)}


def _list(session: Any, asked: Mapping[str, Any]) -> dict[str, Any]:
    return {"points": [_point(public) for public in _publics(session, asked["key"])]}


def _destroy(session: Any, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Destroy the keys of that name but the one at `point`."""
    former = [public for public in _publics(session, asked["key"]) if _point(public) != asked["point"]]
    for public in former:
        _private(session, asked["key"], _point(public)).destroy()
        public.destroy()
    return {"destroyed": len(former)}


_DEEDS: Mapping[str, tuple[Callable[[Any, Mapping[str, Any]], dict[str, Any]], bool]] = {
    "sign": (_sign, False),
    "list": (_list, False),
    "make": (_make, True),
    "destroy": (_destroy, True),
}


def _publics(session: Any, label: str) -> Iterator[Any]:
    from pkcs11 import Attribute, ObjectClass  # noqa: PLC0415

    yield from list(session.get_objects({Attribute.CLASS: ObjectClass.PUBLIC_KEY, Attribute.LABEL: label}))


def _private(session: Any, label: str, point: str) -> Any:
    """The private key of that name whose public key is `point`: both objects have one id."""
    from pkcs11 import Attribute, ObjectClass  # noqa: PLC0415

    wanted = {Attribute.CLASS: ObjectClass.PRIVATE_KEY, Attribute.LABEL: label}
    publics = list(_publics(session, label))
    ids = [public[Attribute.ID] for public in publics if _point(public) == point]
    if ids:
        wanted[Attribute.ID] = ids[0]
    found = list(session.get_objects(wanted)) if ids or not publics else []
    if len(found) != 1:  # an element that keeps no public key has one key of that name, or nobody can tell them apart
        raise LookupError(f"the token has no key {label!r} of that public key")
    return found[0]


def _point(public: Any) -> str:
    """Its 65 bytes; the standard wraps them in an OCTET STRING, and not every token does."""
    from pkcs11 import Attribute  # noqa: PLC0415

    return bytes(public[Attribute.EC_POINT])[-65:].hex()


def _guarded(key: Any) -> bool:
    """Whether the token says that this key was made in it and never could leave it. One that does not say: it could."""
    from pkcs11 import Attribute  # noqa: PLC0415

    try:
        return bool(
            key[Attribute.ALWAYS_SENSITIVE] and key[Attribute.NEVER_EXTRACTABLE] and not key[Attribute.EXTRACTABLE]
        )
    except Exception:  # noqa: BLE001 - an attribute that the token does not know
        return False


if __name__ == "__main__":
    sys.exit(main())
