"""What a worker counts when an activity fails."""

from dataclasses import replace
from datetime import timedelta

import pytest
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.failures import as_failure
from slipway import names
from slipway.errors import Fenced, Unreachable
from slipway.verdicts import Reason
from worker.metrics import is_last, reason_of

INFO = ActivityEnvironment.default_info()


def attempt(number: int, of: int | None) -> bool:
    policy = None if of is None else RetryPolicy(maximum_attempts=of)
    info = replace(INFO, attempt=number, retry_policy=policy)
    return is_last(as_failure(Unreachable("no answer")), info)


def test_the_last_attempt_is_known() -> None:
    assert not attempt(3, of=4)
    assert attempt(4, of=4)
    assert attempt(1, of=1)


def test_without_a_limit_there_is_always_another_attempt() -> None:
    assert not attempt(1_000, of=0)
    assert not attempt(1_000, of=None)


def test_a_final_error_is_given_up_at_once() -> None:
    unlimited = replace(INFO, attempt=1, retry_policy=RetryPolicy(timedelta(seconds=1)))
    assert is_last(as_failure(Fenced("a later decision came first")), unlimited)


@pytest.mark.parametrize("reason", Reason)
def test_a_failure_of_the_domain_is_counted_under_its_runbook(reason: Reason) -> None:
    assert reason_of(as_failure(Fenced("refused", reason=reason))) == reason.value


@pytest.mark.parametrize(
    "error", [ValueError("a bug"), ApplicationError("no", type="x" * 300), ApplicationError("no")]
)
def test_whatever_else_fails_has_no_label_of_its_own(error: Exception) -> None:
    assert reason_of(error) == "StepOutOfAttempts"


@pytest.mark.parametrize(
    ("workflow_id", "environment"),
    [
        (names.deployment_workflow_id("teei-production"), "teei-production"),
        (names.aftercare_workflow_id("teei-production-20261123T180000Z-abc123"), "teei-production"),
        (names.observe_workflow_id("teei-production"), "teei-production"),
        ("aftercare-nonsense", ""),
        ("doctor-1", ""),
        ("", ""),
    ],
)
def test_a_workflow_s_id_tells_the_environment(workflow_id: str, environment: str) -> None:
    assert names.environment_of_workflow(workflow_id) == environment
