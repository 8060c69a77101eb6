"""Signed tokens of end users (JWT): who asks behind a key, and which documents that user may see.

A token is taken only with a signature of one of the issuer's public keys, of an asymmetric algorithm, with the issuer
and audience that are configured, and while it is valid. It never opens anything: the key beside it does. One that is
wrong is refused, never passed over.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import msgspec

from hapenny.admission.keys import Identity, digest
from hapenny.admission.options import UserTokenOptions
from hapenny.core.clock import Clock
from hapenny.core.errors import Failure
from hapenny.core.log import get_logger
from hapenny.core.numbers import finite

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
LEEWAY_S = 60.0
"""How far the issuer's clock may differ."""
LONGEST = 16_384
"""Characters of the longest token."""
LOOK_S = 10.0
"""How often it is looked at whether the file of keys has changed."""
_KNOWN = 1_024
_MOST_GROUPS = 256
_log = get_logger("hapenny.admission")


class UserTokens:
    """Verifies the tokens of one issuer.

    Args:
        options: issuer, audience, keys and claims.
        clock: the deployment's clock.

    Raises:
        ValueError: the extra is missing, or the file holds no keys.
    """

    def __init__(self, options: UserTokenOptions, clock: Clock) -> None:
        self._options = options
        self._clock = clock
        self._known: OrderedDict[bytes, tuple[float, tuple[str, ...], str | None]] = OrderedDict()
        self._keys: dict[str | None, Any] = {}
        self._stamp: tuple[int, int] = (0, 0)
        self._looked = clock.now()
        self._read()

    def applied(self, identity: Identity, headers: Mapping[str, str]) -> Identity:
        """The identity of a request with the groups (and the user) of its token.

        Raises:
            Failure: `authentication`, for a token that is wrong or missing where one is required.
        """
        options = self._options
        token = headers.get(options.header.lower())
        if not token:
            if options.required:
                raise Failure(
                    "authentication", "no user token was sent", field=options.header, fix="send the end user's token"
                )
            return identity
        groups, user = self._verified(token)
        return msgspec.structs.replace(identity, groups=groups, user=user)

    def _verified(self, token: str) -> tuple[tuple[str, ...], str | None]:
        now = self._clock.wall()
        self._refresh()
        name = digest(token[: LONGEST + 1])
        known = self._known.get(name)
        if known is not None and now < known[0]:
            return known[1:]
        claims = self._claims(token)
        until = _number(claims.get("exp"))
        if until is None or now >= until + LEEWAY_S or now < (_number(claims.get("nbf")) or 0.0) - LEEWAY_S:
            raise self._wrong("it is not valid now")
        groups, user = self._groups(claims), None
        if self._options.user_claim:
            value = claims.get(self._options.user_claim)
            if not isinstance(value, str) or not value:
                raise self._wrong(f"it has no claim {self._options.user_claim!r}")
            user = value
        self._known[name] = (until, groups, user)
        if len(self._known) > _KNOWN:
            self._known.popitem(last=False)
        return groups, user

    def _claims(self, token: str) -> dict[str, Any]:
        import jwt

        if len(token) > LONGEST:
            raise self._wrong("it is too long")
        try:
            head = jwt.get_unverified_header(token)
            key = self._keys.get(head.get("kid"))
            if key is None and head.get("kid") is None and len(self._keys) == 1:
                key = next(iter(self._keys.values()))
            if key is None:
                raise self._wrong("its key is not one of the issuer's")
            if key.algorithm_name not in (None, head.get("alg")):
                raise self._wrong("it is signed in another way than its key is for")
            checks: Any = {
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
                "require": ["exp", "iss", "aud"],
            }
            claims: dict[str, Any] = jwt.decode(
                token, key.key, algorithms=list(ALGORITHMS), audience=self._options.audience,
                issuer=self._options.issuer, options=checks,
            )  # fmt: skip
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
            raise self._wrong(type(error).__name__) from None
        return claims

    def _groups(self, claims: Mapping[str, Any]) -> tuple[str, ...]:
        value = claims.get(self._options.groups_claim)
        if value is None:
            return ()  # closed: a user of no group sees what is public
        names = value.split() if isinstance(value, str) else value
        if not isinstance(names, list) or len(names) > _MOST_GROUPS or not all(isinstance(each, str) for each in names):
            raise self._wrong(f"its claim {self._options.groups_claim!r} is no list of names")
        return tuple(sorted({str(each) for each in names}))

    def _wrong(self, why: str) -> Failure:
        return Failure(
            "authentication", f"the user token is refused: {why}", field=self._options.header, fix="send a fresh one"
        )

    def _refresh(self) -> None:
        now = self._clock.now()
        if now - self._looked < LOOK_S:
            return
        self._looked = now
        try:
            if _stamp(self._options.jwks_file) != self._stamp:
                self._read()
        except (OSError, ValueError) as error:
            _log.error("the issuer's keys cannot be read again; those known stay", error=error)

    def _read(self) -> None:
        try:
            import jwt
        except ImportError:
            raise ValueError("user tokens need the extra: pip install 'hapenny[jwt]'") from None
        path = self._options.jwks_file
        stamp = _stamp(path)
        with open(path, encoding="utf-8") as file:
            try:
                keys = jwt.PyJWKSet.from_json(file.read()).keys
            except (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError) as error:
                raise ValueError(f"{path!r} holds no JWK set ({type(error).__name__})") from None
        # A symmetric key in it would let everybody who can read the file sign.
        public = {each.key_id: each for each in keys if each.key_type in ("RSA", "EC", "OKP")}
        if not public:
            raise ValueError(f"{path!r} holds no public key (RSA, EC or OKP)")
        self._keys, self._stamp = public, stamp
        self._known.clear()


def _stamp(path: str) -> tuple[int, int]:
    about = os.stat(path)
    return about.st_mtime_ns, about.st_size


def _number(value: Any) -> float | None:
    return finite(value)
