"""Checks signatures of events without Cadre: one event of JSON a line on standard input.

    python3 verify_signature.py < events.jsonl

Needs Python 3.9 and the package `cryptography`. Prints a line for each event: `valid` and its
signer, or what is wrong. Who may sign for which source is for you to say.
"""
import base64
import json
import sys
from decimal import Decimal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

FIELD = 2**255 - 19
SMALL_ORDER = {  # the y of the points whose order divides 8
    0,
    1,
    FIELD - 1,
    0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,
    0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7,
}
ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def number(value):
    """A number as ECMAScript writes it, which RFC 8785 asks for."""
    if isinstance(value, int) and abs(value) < 2**53:
        return str(value)
    value = float(value)
    if value == 0:
        return "0"
    if value < 0:
        return "-" + number(-value)
    _, digits, exponent = Decimal(repr(value)).as_tuple()
    text = "".join(map(str, digits)).lstrip("0")
    point = len(text) + exponent
    text = text.rstrip("0")
    if len(text) <= point <= 21:
        return text + "0" * (point - len(text))
    if 0 < point <= 21:
        return text[:point] + "." + text[point:]
    if -6 < point <= 0:
        return "0." + "0" * -point + text
    mantissa = text[0] + ("." + text[1:] if len(text) > 1 else "")
    return f"{mantissa}e{'+' if point > 0 else '-'}{abs(point - 1)}"


def canonical(value):
    """RFC 8785."""
    if value is None or isinstance(value, (bool, str)):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, (int, float)):
        return number(value)
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    names = sorted(value, key=lambda name: name.encode("utf-16-be"))
    members = (canonical(name) + ":" + canonical(value[name]) for name in names)
    return "{" + ",".join(members) + "}"


def key_of(did):
    """The 32 bytes of a did:key of an Ed25519 key."""
    if not did.startswith("did:key:z"):
        raise ValueError("no did:key")
    whole = 0
    for letter in did[len("did:key:z") :]:
        whole = whole * 58 + ALPHABET.index(letter)
    raw = whole.to_bytes(34, "big")
    if raw[:2] != b"\xed\x01" or did[len("did:key:z")] == "1":
        raise ValueError("no Ed25519 key")
    y = int.from_bytes(raw[2:], "little") % 2**255
    if y >= FIELD or y in SMALL_ORDER:
        raise ValueError("a key with which anybody can sign")
    return raw[2:]


def check(event):
    metadata = dict(event["metadata"])
    signature = metadata.pop("signature", None)
    if signature is None:
        return "unsigned"
    try:
        form, did, encoded = signature.split(".")
        if form != "cadre1":
            return "malformed"
        key = Ed25519PublicKey.from_public_bytes(key_of(did))
        raw = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
        if base64.urlsafe_b64encode(raw).decode().rstrip("=") != encoded:
            return "malformed"
    except (ValueError, OverflowError):
        return "malformed"
    signed = {
        "cadre": "event-signature-1",
        "signer": did,
        **{name: event[name] for name in ("id", "type", "source", "timestamp", "payload")},
        "metadata": metadata,
    }
    try:
        key.verify(raw, canonical(signed).encode("utf-8"))
    except (InvalidSignature, UnicodeEncodeError):  # half a surrogate pair has no UTF-8
        return f"altered {did}"
    return f"valid {did}"


if __name__ == "__main__":
    for line in sys.stdin.buffer:
        print(check(json.loads(line)))
