import pytest

from hapenny.catalog import default
from hapenny.throughput.options import RegionPolicy
from hapenny.throughput.regions import check, diagnose, endpoints, geography, places

SONNET = "anthropic.claude-sonnet-4-5-20250929-v1:0"
HAIKU = "anthropic.claude-haiku-4-5-20251001-v1:0"


@pytest.fixture(scope="module")
def card():
    return default().resolve(SONNET)


def test_residency_decides_which_profiles_may_be_used(card):
    def models(residency, source="eu-west-1"):
        return {place.model for place in places(card, RegionPolicy(source=source, residency=residency))}

    assert models("region") == {SONNET}
    assert models("geography") == {SONNET, f"eu.{SONNET}"}
    assert models("anywhere") == {SONNET, f"eu.{SONNET}", f"global.{SONNET}"}
    assert f"us.{SONNET}" in models("geography", "us-east-1")
    assert f"eu.{SONNET}" not in models("anywhere", "us-east-1")


def test_global_is_about_a_tenth_cheaper_and_used_first(card):
    found = {p.name: p for p in places(card, RegionPolicy(source="us-east-1", residency="anywhere"))}
    assert found["global-standard"].price / found["geography-standard"].price == pytest.approx(0.91, abs=0.02)
    made = endpoints(card, RegionPolicy(source="us-east-1", residency="anywhere"))
    factors = {endpoint.name: endpoint.cost_factor for endpoint in made}
    assert factors["global-standard"] == 1.0
    assert factors["geography-standard"] == pytest.approx(1.1, abs=0.02)


def test_provisioned_comes_first_and_spills_to_on_demand(card):
    policy = RegionPolicy(source="us-east-1", residency="region", provisioned="arn:aws:bedrock:us-east-1:1:pm/x")
    assert [place.name for place in places(card, policy)] == ["provisioned", "region-standard"]


def test_provisioned_excludes_profiles(card):
    policy = RegionPolicy(source="us-east-1", provisioned="arn:aws:bedrock:us-east-1:1:pm/x")
    (problem,) = check(f"us.{SONNET}", policy, card)
    assert problem.path == "$.provisioned"
    assert SONNET in problem.fix


def test_contradictions_are_found_before_anything_is_called(card):
    assert check(f"global.{SONNET}", RegionPolicy(source="us-east-1"), card)[0].path == "$.residency"
    assert check(f"eu.{SONNET}", RegionPolicy(source="us-east-1"), card)[0].path == "$.source"
    assert check(f"eu.{SONNET}", RegionPolicy(source="eu-central-1"), card) == []
    assert check(SONNET, RegionPolicy(source="us-east-1", residency="region"), card) == []


def test_the_second_endpoint_is_a_place_of_its_own():
    policy = RegionPolicy(source="us-east-1", residency="region", second_endpoint="mantle")
    (found,) = [e for e in endpoints(default().resolve(HAIKU), policy) if e.backend]
    # Its ids have neither date nor version; where it does not serve a model it is no place.
    assert (found.backend, found.profile) == ("mantle", "anthropic.claude-haiku-4-5")
    nova = default().resolve("amazon.nova-micro-v1:0")
    assert {place.backend for place in places(nova, policy)} == {""}


@pytest.mark.parametrize(
    ("region", "expected"),
    [("us-east-1", "us"), ("us-gov-west-1", "us-gov"), ("eu-north-1", "eu"), ("ap-northeast-1", "jp"), ("me-x", "")],
)
def test_geographies(region, expected):
    assert geography(region) == expected


# Constructed after the form of IAM's message for a service control policy.
DENIED = (
    "User: arn:aws:sts::111122223333:assumed-role/app/x is not authorized to perform: bedrock:InvokeModel on resource: "
    "arn:aws:bedrock:eu-west-3::foundation-model/anthropic.claude-sonnet-4-5-20250929-v1:0 "
    "with an explicit deny in a service control policy"
)


def test_a_denied_region_of_a_profile_is_diagnosed():
    problem = diagnose(DENIED, f"eu.{SONNET}")
    assert "eu-west-3" in problem.message
    assert "every region" in problem.fix
    assert "unspecified" in diagnose(DENIED.replace("eu-west-3", ""), f"global.{SONNET}").fix
    assert diagnose("You don't have access to the model with the specified model ID.", SONNET) is None
