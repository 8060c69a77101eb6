"""Where models of Bedrock may process and did: answers of AWS in the shapes of its own service models."""

import json
import socket
import ssl
import threading
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner

from hapenny.cli import executing_regions as regions
from hapenny.cli.doctor import doctor
from hapenny.config import load
from tests.certificates import certificate

botocore = pytest.importorskip("botocore.session", reason="not run: botocore is not installed")
from botocore.stub import Stubber  # noqa: E402

HAIKU = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
PLAIN = "amazon.nova-lite-v1:0"
CONFIG = """
backends: {{aws: {{kind: bedrock, region: us-east-1{more}}}}}
tiers: {{fast: "amazon.nova-lite-v1:0", strong: "us.anthropic.claude-haiku-4-5-20251001-v1:0"}}
{rest}
"""
PROFILE = {
    "inferenceProfileName": "US Claude Haiku 4.5",
    "inferenceProfileArn": f"arn:aws:bedrock:us-east-1:111122223333:inference-profile/{HAIKU}",
    "inferenceProfileId": HAIKU,
    "status": "ACTIVE",
    "type": "SYSTEM_DEFINED",
    "models": [
        {"modelArn": f"arn:aws:bedrock:{region}::foundation-model/{HAIKU.removeprefix('us.')}"}
        for region in ("us-east-1", "us-east-2", "us-west-2")
    ],
}


def event(model, name="Converse", ran="", id="e1", region="us-east-1"):
    said = {"awsRegion": region, "requestParameters": {"modelId": model}}
    if ran:
        said["additionalEventData"] = {"inferenceRegion": ran}
    return {
        "EventId": id,
        "EventName": name,
        "EventSource": "bedrock.amazonaws.com",
        "EventTime": datetime(2026, 6, 1, tzinfo=UTC),
        "CloudTrailEvent": json.dumps(said),
    }


@pytest.fixture
def aws(monkeypatch):
    """Answers for each service, which botocore holds against its models; and TLS that is there."""
    clients = {}

    def client(service, region):
        if service not in clients:
            made = botocore.get_session().create_client(
                service, region_name=region, aws_access_key_id="x", aws_secret_access_key="y"
            )
            clients[service] = made, Stubber(made)
            clients[service][1].activate()
        return clients[service][0]

    monkeypatch.setattr(regions, "client", client)
    monkeypatch.setattr(regions, "handshake", lambda url: "TLSv1.3, TLS_AES_128_GCM_SHA256")

    def answers(service, operation, **response):
        client(service, "us-east-1")
        clients[service][1].add_response(operation, response)

    answers.refuse = lambda service, operation: (
        client(service, "us-east-1"),
        clients[service][1].add_client_error(operation, "AccessDeniedException"),
    )
    return answers


def run(tmp_path, *arguments, more="", rest=""):
    path = tmp_path / "hapenny.yaml"
    path.write_text(CONFIG.format(more=more, rest=rest))
    return CliRunner().invoke(doctor, ["-c", str(path), "--regions", *arguments])


def test_what_may_happen_and_what_did_is_told_with_its_proof(tmp_path, aws):
    aws("bedrock", "get_inference_profile", **PROFILE)
    calls = [event(HAIKU, "ConverseStream", "us-west-2", "newest"), event(HAIKU, "Converse", "us-west-2", "older")]
    aws("cloudtrail", "lookup_events", Events=[*calls, event(PLAIN, "InvokeModel", id="plain"), event("x", "GetX")])
    done = run(tmp_path)
    assert done.exit_code == 0, done.output
    assert (
        f"{HAIKU} from us-east-1: may process in us-east-1, us-east-2, us-west-2 (GetInferenceProfile)" in done.output
    )
    assert f"{PLAIN} from us-east-1: may process in us-east-1 (no profile" in done.output
    assert "https://bedrock-runtime.us-east-1.amazonaws.com: TLSv1.3" in done.output
    assert f"{HAIKU}: ran in us-west-2, 2 times (CloudTrail: ConverseStream, newest)" in done.output
    assert f"{PLAIN}: ran in us-east-1, 1 times (CloudTrail: InvokeModel, plain)" in done.output


def test_a_call_that_ran_where_it_must_not_is_a_problem(tmp_path, aws):
    aws("bedrock", "get_inference_profile", **PROFILE)
    aws("cloudtrail", "lookup_events", Events=[event(HAIKU, ran="us-west-2")])
    policy = "{source: us-east-1, residency: region}"
    rest = f'stages: {{throughput: {{models: {{"{HAIKU}": {{regions: {policy}}}}}}}}}'
    done = run(tmp_path, "--json", rest=rest)
    assert done.exit_code == 1
    (problem,) = json.loads(done.output)["problems"]
    assert problem["message"] == "ran in us-west-2: residency is us-east-1 alone"


def test_without_the_right_to_read_the_profile_its_prefix_says_where(tmp_path, aws):
    aws.refuse("bedrock", "get_inference_profile")
    aws("cloudtrail", "lookup_events", Events=[event(HAIKU, ran="eu-west-1")])
    done = run(tmp_path)
    assert "may process in us-east-*, us-west-* (assumed by its prefix" in done.output
    assert "ran in eu-west-1: not one of us-east-*, us-west-*" in done.output
    assert done.exit_code == 1


def test_a_global_profile_may_process_anywhere(aws):
    everywhere = {**PROFILE, "models": [{"modelArn": "arn:aws:bedrock:::foundation-model/anthropic.claude-haiku-4-5"}]}
    aws("bedrock", "get_inference_profile", **everywhere)
    called = regions.Called(f"global.{HAIKU.removeprefix('us.')}", "us-east-1", "")
    assert regions.destinations(regions.client("bedrock", "us-east-1"), called) == ([], "GetInferenceProfile")


def test_an_address_without_tls_is_a_problem(tmp_path, aws, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(regions, "_trail", lambda *_: ([], []))
    monkeypatch.setattr(regions, "destinations", lambda bedrock, called: ([called.region], "known"))
    monkeypatch.setattr(regions, "client", lambda service, region: None)
    done = run(tmp_path, more=', base_url: "http://127.0.0.1:9"')
    assert done.exit_code == 1
    assert "not encrypted" in done.output


def test_where_nothing_is_called_on_bedrock_it_says_so():
    assert regions.look(load(), 7) == ([], ["no model is called on Bedrock: nothing crosses regions there"])


def test_a_model_without_a_backend_is_called_at_the_default_one(tmp_path):
    path = tmp_path / "hapenny.yaml"
    path.write_text(
        "backends: {first: {kind: simulated}, aws: {kind: bedrock, region: eu-west-1}}\n"
        f"default_backend: aws\ntiers: {{strong: '{PLAIN}'}}\n"
    )
    called = regions.Called(PLAIN, "eu-west-1", "https://bedrock-runtime.eu-west-1.amazonaws.com")
    assert regions.models_of(load(str(path))) == [called]


def test_a_handshake_names_protocol_and_cipher(tmp_path):
    cert, key = certificate(tmp_path)
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.load_cert_chain(cert, key)
    with socket.create_server(("localhost", 0)) as listening:

        def serve():
            plain, _ = listening.accept()
            with ours.wrap_socket(plain, server_side=True):
                pass

        serving = threading.Thread(target=serve)
        serving.start()
        url = f"https://localhost:{listening.getsockname()[1]}"
        shown = regions.handshake(url, ssl.create_default_context(cafile=str(cert)))
        serving.join(10)
    assert shown.startswith("TLSv1.3, TLS_")
