"""Presets of instances: names that the services' own models have, and starts within the limits they state."""

import botocore.session
import pytest

from hapenny.capacity.instances import (
    DOWNLOAD_TIMEOUT_S,
    HEALTH_TIMEOUT_S,
    INSTANCES,
    MISTAKES,
    MOST_WEIGHTS_GB,
    PROFILES,
    TIMEOUTS,
    start,
)


@pytest.fixture(scope="module")
def sagemaker():
    return botocore.session.get_session().get_service_model("sagemaker")


def test_every_name_is_one_that_an_endpoint_takes(sagemaker):
    names = set(sagemaker.shape_for("ProductionVariantInstanceType").enum)
    assert {each.name for each in INSTANCES} <= names
    assert all(each.source for each in INSTANCES)


def test_common_mistakes_are_mistakes_and_their_rights_are_not(sagemaker):
    names = set(sagemaker.shape_for("ProductionVariantInstanceType").enum)
    for each in MISTAKES:
        assert each.wrong not in names
        assert each.why
        if each.right.startswith("ml."):
            assert each.right in {one.name for one in INSTANCES} & names


def test_time_limits_are_in_the_range_the_service_states(sagemaker):
    members = sagemaker.shape_for("ProductionVariant").members
    for name, value in (
        ("ModelDataDownloadTimeoutInSeconds", DOWNLOAD_TIMEOUT_S),
        ("ContainerStartupHealthCheckTimeoutInSeconds", HEALTH_TIMEOUT_S),
    ):
        stated = members[name].metadata
        assert (stated["min"], stated["max"]) == TIMEOUTS
        assert TIMEOUTS[0] <= value <= TIMEOUTS[1]


def test_a_start_with_large_weights_gets_time_limits_that_hold_it():
    assert [each.engine for each in PROFILES] == ["vLLM", "Triton", "DeepSpeed"]
    for profile in PROFILES:
        small, large = start(profile, 16), start(profile, MOST_WEIGHTS_GB)
        assert small.fits
        assert large.fits
        assert large.limits["ModelDataDownloadTimeoutInSeconds"] >= large.download_s
        assert large.limits["ContainerStartupHealthCheckTimeoutInSeconds"] >= large.ready_s > small.ready_s
        assert not start(profile, 2 * MOST_WEIGHTS_GB).fits


def test_a_slow_download_does_not_fit():
    assert not start(PROFILES[0], 400, download_gb_per_s=0.1).fits
