"""Builds of the worker: which workflow a name means, and what a server's refusal means."""

import pytest
from temporalio.service import RPCError, RPCStatusCode

from slipway import names
from slipway.errors import BadInput, Unreachable
from worker.builds import _candidates, refused

ID = "teei-production-20261123T180000Z-abc123"


def test_an_environment_means_its_deployment_and_an_id_its_own_or_its_aftercare() -> None:
    assert _candidates("teei-production")[0] == ("deploy-teei-production", "")
    assert _candidates(ID)[:2] == [("deploy-teei-production", ID), (f"aftercare-{ID}", "")]


@pytest.mark.parametrize("workflow_id", ["deploy-teei-production", f"aftercare-{ID}", "doctor-1"])
def test_a_workflow_s_id_means_that_workflow(workflow_id: str) -> None:
    assert _candidates(workflow_id)[-1] == (workflow_id, "")


def test_a_queue_s_name_may_have_dots_though_temporal_s_deployments_may_not() -> None:
    assert names.worker_deployment("slipway") == "slipway"
    assert names.worker_deployment("slipway.eu.1") == "slipway-eu-1"


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (RPCStatusCode.UNIMPLEMENTED, "too old"),
        (RPCStatusCode.FAILED_PRECONDITION, "Pinned version is not present"),
        (RPCStatusCode.PERMISSION_DENIED, "refuses"),
    ],
)
def test_a_refusal_says_what_and_what_next(status: RPCStatusCode, words: str) -> None:
    error = refused(RPCError("Pinned version is not present", status, b""))
    assert isinstance(error, BadInput)
    assert words in error.what
    assert error.remedy


def test_a_server_that_is_away_is_not_the_person_s_fault() -> None:
    error = refused(RPCError("connection refused", RPCStatusCode.UNAVAILABLE, b""))
    assert isinstance(error, Unreachable)
    assert "TEMPORAL_ADDRESS" in error.remedy
