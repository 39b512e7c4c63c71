"""Ed25519 in plain Python (RFC 8032), judged by the rule that the verify kernel states."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha512

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)

Point = tuple[int, int]
"""Affine, on -x^2 + y^2 = 1 + D x^2 y^2."""
NEUTRAL: Point = (0, 1)


def add(a: Point, b: Point) -> Point:
    product = D * a[0] * b[0] * a[1] * b[1] % P
    x = (a[0] * b[1] + b[0] * a[1]) * pow(1 + product, -1, P) % P
    y = (a[1] * b[1] + a[0] * b[0]) * pow(1 - product, -1, P) % P
    return x, y


def multiply(factor: int, point: Point) -> Point:
    result = NEUTRAL
    while factor:
        if factor & 1:
            result = add(result, point)
        point = add(point, point)
        factor >>= 1
    return result


def encode(point: Point) -> bytes:
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def decode(data: bytes) -> Point | None:
    """The point, None when there is none; takes encodings that are not canonical, too."""
    number = int.from_bytes(data, "little")
    sign, y = number >> 255, number & (1 << 255) - 1
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT_OF_MINUS_ONE % P
    if (x * x - square) % P:
        return None
    return (-x % P if x & 1 != sign else x), y % P


def is_canonical(data: bytes) -> bool:
    point = decode(data)
    return point is not None and encode(point) == data


def is_small(point: Point) -> bool:
    return multiply(8, point) == NEUTRAL


def challenge(r: bytes, key: bytes, message: bytes) -> int:
    return int.from_bytes(sha512(r + key + message).digest(), "little") % L


def verify(key: bytes, signature: bytes, message: bytes) -> bool:
    r, s = signature[:32], int.from_bytes(signature[32:], "little")
    key_point, r_point = decode(key), decode(r)
    if s >= L or key_point is None or not is_canonical(key) or is_small(key_point):
        return False
    if r_point is None or is_small(r_point):
        return False
    negative = (-key_point[0] % P, key_point[1])
    return encode(add(multiply(s, BASE), multiply(challenge(r, key, message), negative))) == r


@dataclass(frozen=True, slots=True)
class Secret:
    """A seed opened up: the scalar, what nonces are made with, the public point."""

    scalar: int
    prefix: bytes
    point: Point

    @classmethod
    def from_seed(cls, seed: bytes) -> Secret:
        digest = sha512(seed).digest()
        scalar = int.from_bytes(digest[:32], "little") & (1 << 254) - 8 | 1 << 254
        return cls(scalar, digest[32:], multiply(scalar, BASE))

    def sign(
        self,
        message: bytes,
        *,
        key: bytes | None = None,
        key_shift: Point = NEUTRAL,
        r_shift: Point = NEUTRAL,
    ) -> bytes:
        """The signature; in the name of another key, or with points added to our key and to R, on demand."""
        nonce = int.from_bytes(sha512(self.prefix + message).digest(), "little") % L
        r = encode(add(multiply(nonce, BASE), r_shift))
        named = encode(add(self.point, key_shift)) if key is None else key
        return r + ((nonce + challenge(r, named, message) * self.scalar) % L).to_bytes(32, "little")


def _base() -> Point:
    base = decode((4 * pow(5, -1, P) % P).to_bytes(32, "little"))
    assert base is not None
    return base


def _small_points() -> tuple[Point, ...]:
    """All eight, as multiples of one of order 8: L times any point that has such a part."""
    for y in range(2, 100):
        point = decode(y.to_bytes(32, "little"))
        if point is not None and multiply(4 * L, point) != NEUTRAL:
            return tuple(multiply(index * L, point) for index in range(8))
    raise AssertionError("half of all points have a part of order 8")


BASE = _base()
SMALL_POINTS = _small_points()
