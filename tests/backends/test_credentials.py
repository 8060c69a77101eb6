"""Credentials from every place, over real sockets where there is a service, refreshed before they expire."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from aiohttp import web
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials

from hapenny.backends.credential_chain import chain
from hapenny.backends.credentials import REFRESH_S, CredentialChain, Environment, for_call
from hapenny.core.clock import RealClock
from hapenny.core.errors import Failure
from hapenny.protocols.sigv4 import Credentials
from hapenny.simulation.loop import VirtualClock, run
from tests.backends.servers import serving

CLOCK = RealClock()


class Aws:
    """The container endpoint, the instance metadata service and STS in one (constructed)."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.expires = "2099-01-01T00:00:00Z"
        self.role = "app-role"
        self.imds_v1_only = False

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(f"{request.method} {request.path}")
        if request.path == "/":
            return await self.sts(request)
        if request.path == "/ecs":
            if request.headers.get("authorization") != "ecs-token":
                return web.Response(status=401)
            return web.json_response(self.keys("CONTAINER"))
        if request.path == "/latest/api/token":
            if self.imds_v1_only or "x-aws-ec2-metadata-token-ttl-seconds" not in request.headers:
                return web.Response(status=403)
            return web.Response(text="imds-token")
        if request.headers.get("x-aws-ec2-metadata-token") != "imds-token":
            return web.Response(status=401)
        if request.path.endswith("/security-credentials/"):
            return web.Response(text=self.role) if self.role else web.Response(status=404)
        return web.json_response({"Code": "Success", **self.keys("INSTANCE")})

    def keys(self, name: str) -> dict[str, str]:
        return {"AccessKeyId": name, "SecretAccessKey": "s", "Token": "t", "Expiration": self.expires}

    async def sts(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        fields = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        if fields["Action"] == "AssumeRole":  # as botocore asks for it
            headers = {name.lower(): value for name, value in request.headers.items()}
            signed = headers["authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
            again = AWSRequest("POST", f"http://{request.host}/", {n: headers[n] for n in signed}, body)
            again.context["timestamp"] = headers["x-amz-date"]
            auth = SigV4Auth(BotoCredentials("BASE", "base-secret"), "sts", "us-east-1")
            expected = auth.signature(auth.string_to_sign(again, auth.canonical_request(again)), again)
            if not headers["authorization"].endswith(expected):
                return web.Response(status=403, text="<Code>SignatureDoesNotMatch</Code>")
        elif fields.get("WebIdentityToken") != "jwt":
            return web.Response(status=400, text="<Error><Code>InvalidIdentityToken</Code></Error>")
        return web.Response(
            text=f"""<{fields["Action"]}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
            <{fields["Action"]}Result><Credentials>
            <AccessKeyId>STS-{fields["RoleArn"][-4:]}</AccessKeyId><SecretAccessKey>a&amp;b</SecretAccessKey>
            <SessionToken>t</SessionToken><Expiration>{self.expires}</Expiration>
            </Credentials></{fields["Action"]}Result></{fields["Action"]}Response>""",
            content_type="text/xml",
        )


@pytest.fixture()
async def aws() -> AsyncIterator[tuple[Aws, dict[str, str]]]:
    """The services, and an environment in which nothing else is found."""
    service = Aws()
    async with serving(service) as base:
        yield (
            service,
            {
                "HOME": "/nonexistent",
                "AWS_EC2_METADATA_SERVICE_ENDPOINT": base,
                "AWS_ENDPOINT_URL_STS": base,
                "BASE": base,
            },
        )


async def found(env: dict[str, str], profile: str | None = None) -> Credentials:
    credentials = chain(CLOCK, profile=profile, environment=env)
    try:
        return await credentials.get()
    finally:
        await credentials.aclose()


async def test_the_environment_goes_first(aws: tuple[Aws, dict[str, str]]) -> None:
    service, env = aws
    env |= {"AWS_ACCESS_KEY_ID": "E", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "t"}
    assert await found(env) == Credentials("E", "s", "t")
    assert not service.asked


async def test_the_instance_is_asked_with_a_session_token(aws: tuple[Aws, dict[str, str]]) -> None:
    service, env = aws
    held = await found(env)
    assert (held.access_key, held.token) == ("INSTANCE", "t")
    assert held.expires > 4e9
    assert service.asked[0] == "PUT /latest/api/token"
    assert service.asked[-1].endswith("/app-role")


async def test_an_instance_without_a_role_or_without_version_two_has_nothing(aws: tuple[Aws, dict[str, str]]) -> None:
    service, env = aws
    service.role = ""
    with pytest.raises(Failure, match="no AWS credentials"):
        await found(env)
    service.role, service.imds_v1_only = "r", True
    with pytest.raises(Failure) as error:
        await found(env)
    assert error.value.kind == "authentication"
    assert not error.value.retryable
    service.asked.clear()
    with pytest.raises(Failure):
        await found(env | {"AWS_EC2_METADATA_DISABLED": "true"})
    assert not service.asked


async def test_the_container_endpoint(aws: tuple[Aws, dict[str, str]], tmp_path: Path) -> None:
    _, env = aws
    full = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": env["BASE"] + "/ecs"}
    assert (await found(env | full | {"AWS_CONTAINER_AUTHORIZATION_TOKEN": "ecs-token"})).access_key == "CONTAINER"
    (tmp_path / "token").write_text("ecs-token\n")
    file = {"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(tmp_path / "token")}
    assert (await found(env | full | file)).access_key == "CONTAINER"
    with pytest.raises(Failure, match="401"):
        await found(env | full)
    with pytest.raises(Failure, match="neither https"):
        await found(env | {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://192.0.2.7/ecs"})


async def test_a_web_identity(aws: tuple[Aws, dict[str, str]], tmp_path: Path) -> None:
    _, env = aws
    (tmp_path / "jwt").write_text("jwt\n")
    env |= {"AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "jwt"), "AWS_ROLE_ARN": "arn:aws:iam::1:role/pods"}
    held = await found(env)
    assert (held.access_key, held.secret_key) == ("STS-pods", "a&b")
    (tmp_path / "jwt").write_text("stale")
    with pytest.raises(Failure, match="InvalidIdentityToken"):
        await found(env)
    (tmp_path / "jwt").unlink()
    with pytest.raises(Failure, match="cannot be read"):
        await found(env)


PROFILES = """
[default]
region = us-east-1
[profile plain]
aws_access_key_id = P
aws_secret_access_key = s
[profile worker]
role_arn = arn:aws:iam::1:role/work
source_profile = base
[profile own]
role_arn = arn:aws:iam::1:role/self
source_profile = own
aws_access_key_id = BASE
aws_secret_access_key = base-secret
[profile machine]
role_arn = arn:aws:iam::1:role/mach
credential_source = Environment
[profile pod]
role_arn = arn:aws:iam::1:role/pods
web_identity_token_file = JWT
[profile loop]
role_arn = arn:aws:iam::1:role/loop
source_profile = loop2
[profile loop2]
role_arn = arn:aws:iam::1:role/loop
source_profile = loop
[profile process]
credential_process = cat PRINTED
[profile empty]
region = eu-west-1
"""
PRINTED = """{"Version": 1, "AccessKeyId": "PRINTED", "SecretAccessKey": "s", "SessionToken": "t"}"""


@pytest.fixture()
def files(aws: tuple[Aws, dict[str, str]], tmp_path: Path) -> dict[str, str]:
    (tmp_path / "jwt").write_text("jwt")
    (tmp_path / "printed").write_text(PRINTED)
    paths = PROFILES.replace("JWT", str(tmp_path / "jwt")).replace("PRINTED", str(tmp_path / "printed"))
    (tmp_path / "config").write_text(paths)
    (tmp_path / "credentials").write_text("[base]\naws_access_key_id=BASE\naws_secret_access_key=base-secret\n")
    return aws[1] | {
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
    }


@pytest.mark.parametrize(("profile", "key"), [("plain", "P"), ("base", "BASE"), ("pod", "STS-pods")])
async def test_profiles(files: dict[str, str], profile: str, key: str) -> None:
    assert (await found(files, profile)).access_key == key
    assert (await found(files | {"AWS_PROFILE": profile})).access_key == key


async def test_a_named_profile_goes_before_the_environment(files: dict[str, str]) -> None:
    env = files | {"AWS_ACCESS_KEY_ID": "BASE", "AWS_SECRET_ACCESS_KEY": "base-secret"}
    assert (await found(env, "plain")).access_key == "P"


@pytest.fixture()
def known_to_botocore(files: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The same for AWS's own library, which reads the process's environment."""
    env = files | {"AWS_ACCESS_KEY_ID": "BASE", "AWS_SECRET_ACCESS_KEY": "base-secret", "AWS_REGION": "us-east-1"}
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    return env


@pytest.mark.parametrize(
    ("profile", "key"),
    [("worker", "STS-work"), ("own", "STS-self"), ("machine", "STS-mach"), ("process", "PRINTED")],
)
async def test_what_aws_tools_do_with_a_profile_is_left_to_botocore(
    known_to_botocore: dict[str, str], profile: str, key: str
) -> None:
    held = await found(known_to_botocore, profile)
    assert held.access_key == key
    assert held.token == "t"
    assert held.expires > CLOCK.wall(), "asked again before it runs out"


async def test_without_botocore_such_a_profile_is_refused_with_what_to_install(
    files: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "botocore.session", None)
    with pytest.raises(Failure, match="role_arn") as refused:
        await found(files, "worker")
    assert refused.value.fix is not None
    assert "pip install 'hapenny[aws]'" in refused.value.fix


async def test_a_default_profile_without_keys_is_no_obstacle(files: dict[str, str]) -> None:
    assert (await found(files)).access_key == "INSTANCE"


@pytest.mark.parametrize(
    ("profile", "said"),
    [("loop", "[Ii]nfinite loop"), ("gone", "no AWS profile 'gone'"), ("empty", "neither keys nor")],
)
async def test_profiles_that_do_not_work_say_why(known_to_botocore: dict[str, str], profile: str, said: str) -> None:
    with pytest.raises(Failure, match=said):
        await found(known_to_botocore, profile)


class Rotating:
    """A place whose credentials live an hour."""

    name = "rotating"

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.fetched = 0
        self.broken = False

    async def fetch(self) -> Credentials | None:
        await self.clock.sleep(1.0)
        if self.broken:
            raise Failure("unavailable", "the service is down")
        self.fetched += 1
        return Credentials(f"K{self.fetched}", "s", None, self.clock.wall() + 3600)


def test_credentials_are_refreshed_before_they_expire_and_nobody_waits() -> None:
    async def main(clock: VirtualClock) -> None:
        place = Rotating(clock)
        credentials = CredentialChain(clock, [place])
        first = await asyncio.gather(*(credentials.get() for _ in range(20)))
        assert {held.access_key for held in first} == {"K1"}
        assert place.fetched == 1
        await clock.sleep(3600 - REFRESH_S + 1)
        before = clock.now()
        assert (await credentials.get()).access_key == "K1"
        assert clock.now() == before
        await clock.sleep(2)
        assert (await credentials.get()).access_key == "K2"
        assert place.fetched == 2

    run(main)


def test_a_failed_refresh_changes_nothing_while_they_hold() -> None:
    async def main(clock: VirtualClock) -> None:
        place = Rotating(clock)
        credentials = CredentialChain(clock, [place])
        await credentials.get()
        place.broken = True
        for _ in range(80):
            await clock.sleep(44)
            assert (await credentials.get()).access_key == "K1"
        await clock.sleep(100)
        with pytest.raises(Failure, match="down"):
            await credentials.get()
        place.broken = False
        assert (await credentials.get()).access_key == "K2"

    run(main)


def test_one_caller_that_leaves_does_not_take_the_others_credentials() -> None:
    async def main(clock: VirtualClock) -> None:
        credentials = CredentialChain(clock, [Rotating(clock)])
        tasks = [asyncio.create_task(credentials.get()) for _ in range(3)]
        await clock.sleep(0.5)
        tasks[0].cancel()
        assert (await tasks[1]).access_key == (await tasks[2]).access_key == "K1"

    run(main)


async def test_secrets_do_not_show() -> None:
    held = await Environment({"AWS_ACCESS_KEY_ID": "E", "AWS_SECRET_ACCESS_KEY": "hidden"}).fetch()
    assert "hidden" not in repr(held)


async def test_a_call_without_credentials_is_the_operators_to_mend(aws: tuple[Aws, dict[str, str]]) -> None:
    service, env = aws
    service.role = ""
    credentials = chain(CLOCK, environment=env)
    with pytest.raises(Failure) as error:
        await for_call(credentials)
    await credentials.aclose()
    assert (error.value.kind, error.value.status) == ("provider_account", 503)
    assert "AWS_ACCESS_KEY_ID" not in error.value.sentence()
    assert "AWS_ACCESS_KEY_ID" in (error.value.operator or "")
