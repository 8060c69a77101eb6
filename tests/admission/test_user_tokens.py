"""Signed tokens of end users: their groups are taken from a sound one, and nothing from any other."""

import json
import os
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from hapenny.admission.keys import Identity
from hapenny.admission.options import UserTokenOptions
from hapenny.admission.user_tokens import UserTokens
from hapenny.core.clock import RealClock
from hapenny.core.errors import Failure

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
APP = Identity(tenant="acme", key_id="k", groups=("staff",))


def jwks(*pairs):
    keys = []
    for id, key in pairs:
        algorithm = jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
        keys.append({**json.loads(algorithm.to_jwk(key.public_key())), "kid": id, "use": "sig"})
    return json.dumps({"keys": keys})


@pytest.fixture
def options(tmp_path):
    path = tmp_path / "jwks.json"
    path.write_text(jwks(("one", RSA), ("two", EC)))
    return UserTokenOptions(issuer="https://id", audience="hapenny", jwks_file=str(path), user_claim="sub")


@pytest.fixture
def tokens(options):
    return UserTokens(options, RealClock())


def token(key=RSA, kid="one", algorithm="RS256", **claims):
    body = {"iss": "https://id", "aud": "hapenny", "sub": "ann", "exp": time.time() + 300, "groups": ["hr", "eng"]}
    body |= claims
    return jwt.encode({k: v for k, v in body.items() if v is not None}, key, algorithm=algorithm, headers={"kid": kid})


def of(tokens, text):
    return tokens.applied(APP, {"x-hapenny-token": text})


def test_a_sound_token_says_groups_and_user(tokens):
    for text in (token(), token(EC, "two", "ES256"), token(groups="eng hr")):
        identity = of(tokens, text)
        assert identity.groups == ("eng", "hr")
        assert identity.user == "ann"
        assert identity.tenant == "acme"
    assert of(tokens, token(groups=None)).groups == ()
    assert tokens.applied(APP, {}).groups == ("staff",)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: token(iss="https://other"),
        lambda: token(aud="somebody"),
        lambda: token(aud=None),
        lambda: token(exp=time.time() - 120),
        lambda: token(exp=None),
        lambda: token(exp=True),
        lambda: token(nbf=time.time() + 3_600),
        lambda: token(rsa.generate_private_key(public_exponent=65537, key_size=2048)),
        lambda: token(kid="three"),
        lambda: token(groups={"hr": 1}),
        lambda: token(groups=["hr", 7]),
        lambda: token(sub=None),
        lambda: token("a" * 64, "one", "HS256"),
        lambda: token(None, "one", "none"),
        lambda: "x.y.z",
        lambda: "a" * 20_000,
        lambda: token() + "x",
    ],
)
def test_any_other_is_refused(tokens, wrong):
    with pytest.raises(Failure, match="user token") as refusal:
        of(tokens, wrong())
    assert refusal.value.kind == "authentication"


def test_a_token_taken_once_is_not_taken_after_its_end(options):
    class Clock(RealClock):
        ahead = 0.0

        def wall(self):
            return time.time() + self.ahead

    clock = Clock()
    tokens = UserTokens(options, clock)
    text = token()
    assert of(tokens, text).groups
    clock.ahead = 400.0
    with pytest.raises(Failure, match="not valid now"):
        of(tokens, text)


def test_a_missing_token_is_refused_where_one_is_required(options):
    options.required = True
    with pytest.raises(Failure, match="no user token"):
        UserTokens(options, RealClock()).applied(APP, {})


def test_keys_that_were_rotated_are_read_again(options):
    class Clock(RealClock):
        ahead = 0.0

        def now(self):
            return time.monotonic() + self.ahead

    clock = Clock()
    tokens = UserTokens(options, clock)
    fresh = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    old = token()
    assert of(tokens, old).groups
    with open(options.jwks_file, "w") as file:
        file.write(jwks(("next", fresh)))
    os.utime(options.jwks_file, (1, 1))
    clock.ahead = 60.0
    assert of(tokens, token(fresh, "next")).groups
    with pytest.raises(Failure, match="not one of the issuer's"):
        of(tokens, old)


@pytest.mark.parametrize("text", ["", "{}", '{"keys": []}', '{"keys": [{"kty": "oct", "k": "YWJj", "kid": "s"}]}'])
def test_a_file_without_public_keys_is_refused(options, text):
    with open(options.jwks_file, "w") as file:
        file.write(text)
    with pytest.raises(ValueError, match=r"jwks\.json"):
        UserTokens(options, RealClock())
