"""The gates: every kind of evidence judged by its rule, each with a sentence."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from slipway.evidence import documents, junit, k6, scans
from slipway.evidence.reading import NotProved, cover, envelope, fresh
from slipway.messages.preflight import GateResult, GateResults
from slipway.plan import Plan
from slipway.release import PinnedFile, Release, digest_of

GATES = (
    "tests",
    "staging",
    "trivy",
    "snyk",
    "performance",
    "documentation",
    "release_notes",
    "rollback_plan",
    "change_request",
)


@dataclass(frozen=True)
class EvidenceFile:
    """A file of evidence as it was read: its content, or why there is none."""

    at: str
    sha256: str
    content: bytes = b""
    problem: str = ""


Files = dict[tuple[str, str], EvidenceFile]
"""By reference and digest."""
Proved = tuple[str, datetime]
"""A sentence, and the oldest date the gate rests on."""


@dataclass(frozen=True)
class _Case:
    plan: Plan
    release: Release
    files: Files
    now: datetime

    @property
    def images(self) -> dict[str, str]:
        """Service to digest, of every service that the plan deploys."""
        given = self.release.images
        missing = [one.name for one in self.plan.services if one.name not in given]
        if missing:
            raise NotProved(f"the release names no image for {missing[0]}")
        return {one.name: digest_of(given[one.name]) for one in self.plan.services}

    @property
    def staging_names(self) -> set[str]:
        return {"staging", self.plan.staging.namespace}

    def content(self, file: PinnedFile) -> bytes:
        found = self.files.get((file.at, file.sha256))
        if found is None or found.problem:
            problem = found.problem if found else "it was not read"
            raise NotProved(f"{file.at}: {problem}")
        return found.content


def references(release: Release) -> list[PinnedFile]:
    """Return every file of evidence that a release names, each once."""
    found = [file for gate in GATES for file in _files_of(gate, release)]
    return list({(file.at, file.sha256): file for file in found}.values())


def judge(plan: Plan, release: Release, files: Files, now: datetime) -> GateResults:
    """Return the result of every gate. Evidence is judged as it is at `now`."""
    case = _Case(plan, release, files, now)
    return GateResults(results=[_result(gate, case) for gate in GATES])


def _result(gate: str, case: _Case) -> GateResult:
    files = _files_of(gate, case.release)
    max_age = case.plan.scale(getattr(case.plan.gates, gate).max_age)
    produced: datetime | None = None
    try:
        because, produced = _RULES[gate](case)
        fresh(produced, case.now, max_age)
        passed = True
    except NotProved as error:
        because, passed = str(error), False
    return GateResult(
        gate=gate,
        passed=passed,
        because=f"{gate.replace('_', ' ').capitalize()}: {because}.",
        evidence=[file.at for file in files],
        sha256=[file.sha256 for file in files],
        produced_at=produced,
    )


def _files_of(gate: str, release: Release) -> list[PinnedFile]:
    evidence = release.evidence
    if gate == "change_request":
        return []
    if gate == "rollback_plan":
        return [evidence.rollback_plan.document, evidence.rollback_plan.test_record]
    given = getattr(evidence, gate)
    return list(given) if isinstance(given, list) else [given]


def _tests(case: _Case) -> Proved:
    passed, images, dates = 0, set[str](), []
    for file in case.release.evidence.tests:
        with _naming(file):
            suite, named, produced = junit.check(case.content(file), case.staging_names)
        passed, images = passed + suite.passed, images | named
        dates.append(produced)
    if not images:
        raise NotProved("no property `images` says which images were tested")
    cover(images, case.images)
    return f"{passed} tests passed in staging, none failed", min(dates)


def _staging(case: _Case) -> Proved:
    file, plan = case.release.evidence.staging, case.plan
    soak = plan.scale(plan.staging.soak)
    with _naming(file):
        return documents.staging(case.content(file), case.images, case.staging_names, soak)


def _scan(
    case: _Case,
    files: list[PinnedFile],
    read: Callable[[bytes], tuple[int, set[str], datetime]],
) -> Proved:
    found, images, dates = 0, set[str](), []
    for file in files:
        with _naming(file):
            count, named, produced = read(case.content(file))
        found, images = found + count, images | named
        dates.append(produced)
    cover(images, case.images)
    return f"{len(case.images)} images, no finding CRITICAL or HIGH, {found} lesser", min(dates)


def _performance(case: _Case) -> Proved:
    limits, images, dates, said = case.plan.limits, set[str](), [], []
    for file in case.release.evidence.performance:
        with _naming(file):
            report, named, produced = envelope(case.content(file), "k6")
            said.append(
                k6.judge(report, latency_p95=limits.latency_p95, error_rate=limits.error_rate)
            )
        images |= named
        dates.append(produced)
    cover(images, case.images)
    return "; ".join(said[:3]), min(dates)


def _text(case: _Case, file: PinnedFile) -> Proved:
    with _naming(file):
        written = documents.dated_text(case.content(file), case.release.version)
    return f"present, about release {case.release.version}", written


def _rollback_plan(case: _Case) -> Proved:
    plan = case.release.evidence.rollback_plan
    with _naming(plan.test_record):
        record, document = case.content(plan.test_record), case.content(plan.document)
        return documents.rollback_test(record, document, plan.document.sha256)


def _change_request(case: _Case) -> Proved:
    return documents.change_request(case.release.evidence.change_request), case.release.created_at


class _naming:  # noqa: N801 - reads as a word in a with statement
    """Puts the file's reference before the sentence of a refusal."""

    def __init__(self, file: PinnedFile) -> None:
        self._at = file.at

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, NotProved) and not str(error).startswith("artifact:"):
            raise NotProved(f"{self._at}: {error}") from None


_RULES: dict[str, Callable[[_Case], Proved]] = {
    "tests": _tests,
    "staging": _staging,
    "trivy": lambda case: _scan(case, case.release.evidence.trivy, scans.trivy),
    "snyk": lambda case: _scan(case, case.release.evidence.snyk, scans.snyk),
    "performance": _performance,
    "documentation": lambda case: _text(case, case.release.evidence.documentation),
    "release_notes": lambda case: _text(case, case.release.evidence.release_notes),
    "rollback_plan": _rollback_plan,
    "change_request": _change_request,
}
