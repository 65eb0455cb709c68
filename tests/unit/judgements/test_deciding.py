from slipway.judgements.deciding import deciding
from slipway.verdicts import Kind, Reason, Signal, Verdict


def silent(service: str) -> Verdict:
    return Verdict(
        kind=Kind.INCONCLUSIVE,
        signal=Signal.TRAFFIC,
        reason=Reason.NOTHING_TO_READ,
        service=service,
        because=f"{service}: Prometheus does not answer.",
    )


def test_one_silent_service_is_named() -> None:
    assert deciding([silent("buddy")]) == silent("buddy")


def test_of_several_silent_services_none_is_to_blame() -> None:
    worst = deciding([silent("buddy"), silent("journey")])
    assert worst is not None
    assert worst.service is None
    assert worst.because.startswith("2 services could not be read. ")


def test_a_graver_verdict_keeps_its_service() -> None:
    down = Verdict(
        kind=Kind.ROLLBACK,
        signal=Signal.HEALTH,
        reason=Reason.UNHEALTHY,
        service="analytics",
        because="DOWN",
    )
    assert deciding([silent("buddy"), down, silent("journey")]) == down


def test_nothing_decides_about_nothing() -> None:
    assert deciding([]) is None


def test_who_accepts_one_verdict_has_read_the_others() -> None:
    slow = silent("analytics").model_copy(
        update={
            "kind": Kind.HOLD,
            "reason": Reason.LATENCY_TOO_HIGH,
            "because": "analytics: slow.",
        }
    )
    worst = deciding([silent("buddy"), slow])
    assert worst is not None
    assert worst.service == "analytics"
    assert worst.because == "analytics: slow. Also: buddy: Prometheus does not answer."
