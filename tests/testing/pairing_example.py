"""The worked example of docs/pairing.md, computed a second time from the page alone: Python's own library, none of ours.

Reads docs/pairing-example.json on stdin, prints every value that follows from its inputs as JSON, and checks the ECDSA proof.
"""

import base64
import hashlib
import hmac
import json
import sys

P = 2**255 - 19
A = 486662


def lv(*fields):
    out = b""
    for field in fields:
        data = field.encode() if isinstance(field, str) else field
        length = len(data)
        while True:
            out += bytes([(length & 127) | (128 if length > 127 else 0)])
            length >>= 7
            if not length:
                break
        out += data
    return out


def sha256(data):
    return hashlib.sha256(data).digest()


def sha512(data):
    return hashlib.sha512(data).digest()


def hkdf(secret, info, size):
    """RFC 5869 with SHA-512 and an empty salt; one block is enough here."""
    prk = hmac.new(bytes(64), secret, "sha512").digest()
    return hmac.new(prk, info + b"\x01", "sha512").digest()[:size]


def mac(key, data):
    return hmac.new(key, data, "sha256").digest()


def inverse(value, modulus=P):
    return pow(value, modulus - 2, modulus)


def elligator2(digest):
    """docs/pairing.md 4.3, steps 1 to 4."""
    r = int.from_bytes(digest[:31] + bytes([digest[31] & 127]), "little") % P
    v = -A * inverse(1 + 2 * r * r) % P
    square = (v**3 + A * v * v + v) % P
    if pow(square, (P - 1) // 2, P) not in (0, 1):
        v = (-v - A) % P
    return v.to_bytes(32, "little")


def x25519(scalar, u):
    """RFC 7748 5, with plain affine-free Montgomery steps."""
    k = bytearray(scalar)
    k[0] &= 248
    k[31] = (k[31] & 127) | 64
    k = int.from_bytes(k, "little")
    x1 = int.from_bytes(u[:31] + bytes([u[31] & 127]), "little")
    x2, z2, x3, z3, swap = 1, 0, x1, 1, 0
    for t in range(254, -1, -1):
        bit = k >> t & 1
        if swap ^ bit:
            x2, x3, z2, z3 = x3, x2, z3, z2
        swap = bit
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        aa, bb, da, cb = a * a, b * b, d * a, c * b
        e = aa - bb
        x3, z3 = (da + cb) ** 2 % P, x1 * (da - cb) ** 2 % P
        x2, z2 = aa * bb % P, e * (aa + 121665 * e) % P
    if swap:
        x2, z2 = x3, z3
    return (x2 * inverse(z2) % P).to_bytes(32, "little")


D = -121665 * inverse(121666) % P
L = 2**252 + 27742317777372353535851937790883648493
BASE_Y = 4 * inverse(5) % P


def edwards_base():
    x2 = (BASE_Y * BASE_Y - 1) * inverse(D * BASE_Y * BASE_Y + 1) % P
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    return (P - x if x & 1 else x, BASE_Y)


def edwards_times(k, point):
    result = (0, 1)
    while k:
        if k & 1:
            result = edwards_add(result, point)
        point = edwards_add(point, point)
        k >>= 1
    return result


def edwards_add(one, other):
    (x1, y1), (x2, y2) = one, other
    t = D * x1 * x2 * y1 * y2
    return ((x1 * y2 + x2 * y1) * inverse(1 + t) % P, (y1 * y2 + x1 * x2) * inverse(1 - t) % P)


def edwards_bytes(point):
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def ed25519(seed, message):
    """RFC 8032 5.1.5 and 5.1.6. Returns the public key and the signature."""
    h = sha512(seed)
    a = int.from_bytes(h[:32], "little") & ((1 << 254) - 8) | (1 << 254)
    public = edwards_bytes(edwards_times(a, edwards_base()))
    r = int.from_bytes(sha512(h[32:] + message), "little") % L
    commitment = edwards_bytes(edwards_times(r, edwards_base()))
    k = int.from_bytes(sha512(commitment + public + message), "little") % L
    return public, commitment + ((r + k * a) % L).to_bytes(32, "little")


FIELD = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
GENERATOR = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)


def p256_add(one, other):
    if one is None or other is None:
        return one or other
    if one[0] == other[0]:
        if (one[1] + other[1]) % FIELD == 0:
            return None
        slope = (3 * one[0] ** 2 - 3) * inverse(2 * one[1], FIELD)
    else:
        slope = (other[1] - one[1]) * inverse(other[0] - one[0], FIELD)
    x = (slope * slope - one[0] - other[0]) % FIELD
    return (x, (slope * (one[0] - x) - one[1]) % FIELD)


def p256_times(k, point):
    result = None
    while k:
        if k & 1:
            result = p256_add(result, point)
        point = p256_add(point, point)
        k >>= 1
    return result


def ecdsa_holds(spki, message, signature):
    point = (int.from_bytes(spki[27:59], "big"), int.from_bytes(spki[59:91], "big"))
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    w = inverse(s, ORDER)
    e = int.from_bytes(sha256(message), "big")
    found = p256_add(p256_times(e * w % ORDER, GENERATOR), p256_times(r * w % ORDER, point))
    return found is not None and found[0] % ORDER == r


def spki_of(pkcs8):
    """The public key at the end of this PKCS #8 (RFC 5915: its point is the last 65 bytes)."""
    return bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200") + pkcs8[-65:]


def unbase64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def main():
    example = json.load(sys.stdin)
    t = example["texts"]
    b = {name: bytes.fromhex(value) for name, value in example["bytes"].items()}
    out = {}
    slot, pin = t["typed_code"].split("-")
    out["slot_bytes"], out["prs"] = slot.encode(), pin.encode()
    fields = dict(part.split("=", 1) for part in t["qr_uri"].split("?", 1)[1].split("&"))
    out["qr_slot"], out["qr_secret"] = unbase64(fields["s"]), unbase64(fields["k"])
    out["root_sha256"] = sha256(b["root_certificate"])
    assert unbase64(fields["r"]) == out["root_sha256"]

    out["tls_key"] = spki_of(b["tls_key_pkcs8"])
    out["identity_key"], _ = ed25519(b["identity_seed"], b"")
    device_hello = lv(
        "palyra-device-hello-v2", t["device_id"], out["identity_key"], out["tls_key"], t["name"], t["platform"]
    )
    daemon_hello = lv("palyra-daemon-hello-v2", t["daemon_id"], t["trust_domain"], t["daemon_time_ms"])
    out["device_hello"], out["daemon_hello"] = device_hello, daemon_hello

    cb, sid, prs = b["channel_binding"], b["session_id"], out["prs"]
    ci = out["ci"] = lv("palyra-pairing-v2", cb, out["root_sha256"], t["client_kind"])
    zeros = bytes(max(0, 127 - (1 + len(prs)) - 9))
    out["generator_string"] = lv("CPace255", prs, zeros, ci, sid)
    out["generator_hash"] = sha512(out["generator_string"])
    g = out["g"] = elligator2(out["generator_hash"])
    ya, yb = out["ya"], out["yb"] = x25519(b["device_scalar"], g), x25519(b["daemon_scalar"], g)
    k = out["k"] = x25519(b["device_scalar"], yb)
    assert k == x25519(b["daemon_scalar"], ya)
    out["commitment_input"] = lv("palyra-pairing-v2 commitment", yb, daemon_hello, b["nonce"])
    commitment = out["commitment"] = sha256(out["commitment_input"])
    isk = out["isk"] = sha512(lv("CPace255_ISK", sid, k) + lv(ya, device_hello) + lv(yb, daemon_hello))
    transcript = out["transcript"] = sha256(
        lv("palyra-pairing-v2 transcript", ci, sid, commitment, ya, device_hello, yb, daemon_hello)
    )

    def key(label, size):
        return hkdf(isk, lv("palyra-pairing-v2 " + label, transcript), size)

    for side in ("daemon", "device"):
        out[side + "_confirmation_key"] = key(side + " confirmation", 32)
        out[side + "_confirmation"] = mac(out[side + "_confirmation_key"], transcript)
    out["await_key"], out["words_bytes"] = key("await", 32), key("words", 6)

    out["identity_signature_input"] = lv("palyra-pairing-v2 identity signature", transcript)
    out["tls_key_proof_input"] = lv("palyra-pairing-v2 tls key proof", transcript)
    out["await_proof_input"] = lv("palyra-pairing-v2 await proof", t["request_id"], cb)
    out["await_proof"] = mac(out["await_key"], out["await_proof_input"])
    out["renewal_input"] = lv("palyra-renewal-v2", t["device_id"], t["serial"], out["tls_key"])
    out["recovery_input"] = lv("palyra-recovery-v2", cb, b["challenge"], t["device_id"], out["tls_key"])
    for name, signed in (("identity_", "identity_signature_input"), ("renewal_", "renewal_input"), ("recovery_", "recovery_input")):
        _, out[name + "signature"] = ed25519(b["identity_seed"], out[signed])
    assert ecdsa_holds(out["tls_key"], out["tls_key_proof_input"], b["tls_key_proof"])
    words = [int.from_bytes(out["words_bytes"][at : at + 2], "big") & 2047 for at in (0, 2, 4)]
    print(json.dumps({"words": words, "bytes": {name: value.hex() for name, value in out.items()}}))


main()
