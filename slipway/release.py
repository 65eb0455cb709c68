"""The release: what shall be deployed, by digest, with the evidence that it may be.

`plans/example-release.yaml` is the commented reference of this format.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from slipway.base import Artifact, Document, Instant, Line, Name, Person, Sha256

Image = Annotated[
    str,
    StringConstraints(
        pattern=r"^[a-z0-9][a-z0-9./:_-]{0,250}(:[A-Za-z0-9._-]{1,128})?@sha256:[0-9a-f]{64}$"
    ),
]
"""`repository[:tag]@sha256:<64 hex>`. Only the digest decides; a tag is for readers."""
Tag = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,200}$")]


def digest_of(image: str) -> str:
    """Return `sha256:…` of an image reference, or the empty text when it names no digest."""
    _, at, digest = image.partition("@")
    return digest if at else ""


class PinnedFile(Document):
    """A file with the digest it must have when the worker reads it."""

    at: Artifact
    sha256: Sha256


class MigrationFile(Document):
    """One pending migration: its tag in the journal and the digest of its SQL."""

    tag: Tag
    sha256: Sha256


class MigrationSet(Document):
    """The migration workspace and every migration that this release brings."""

    workspace: Artifact
    """A folder with the project's own package.json."""
    journal_sha256: Sha256
    pending: list[MigrationFile] = Field(default=[], max_length=100)


class ChangeRequest(Document):
    """A change request's number, or the reason why none is required."""

    number: Line | None = None
    not_required: Line | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.number is None) == (self.not_required is None):
            raise ValueError("change_request: give either `number` or `not_required` with a reason")
        return self


class RollbackPlan(Document):
    """The rollback plan's document and the dated record of its test."""

    document: PinnedFile
    test_record: PinnedFile


class EvidenceSet(Document):
    """Files that prove the gates. The worker reads and judges them itself."""

    tests: list[PinnedFile] = Field(min_length=1, max_length=50)
    """JUnit XML of the staging run."""
    staging: PinnedFile
    """Staging record (JSON): which digests ran there since when, and for how long."""
    trivy: list[PinnedFile] = Field(min_length=1, max_length=500)
    snyk: list[PinnedFile] = Field(min_length=1, max_length=500)
    performance: list[PinnedFile] = Field(min_length=1, max_length=50)
    """k6 summary (JSON); thresholds are recomputed."""
    documentation: PinnedFile
    release_notes: PinnedFile
    rollback_plan: RollbackPlan
    change_request: ChangeRequest


class Release(Document):
    """A version to deploy: images by digest, migrations, evidence, who asks for it."""

    version: Line
    requester: Person
    summary: Line
    created_at: Instant
    images: dict[Name, Image] = Field(min_length=1, max_length=500)
    migrations: MigrationSet
    evidence: EvidenceSet
    marks: list[Literal["demo"]] = []
    """`demo`: the evidence was made for a demonstration; the report says so."""
