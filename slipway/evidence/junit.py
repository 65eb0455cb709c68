"""JUnit XML: at least one test, none failed, run in staging against the release's images."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from xml.parsers import expat

from slipway.evidence.reading import NotProved, digests, instant

MAX_DEPTH = 60
MAX_ELEMENTS = 500_000


@dataclass
class Suite:
    """What a file of test results says."""

    passed: int = 0
    failed: list[str] = field(default_factory=list)
    skipped: int = 0
    declared: int = 0
    """Failures and errors that the counts of suites admit."""
    times: list[str] = field(default_factory=list)
    properties: list[tuple[str, str]] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)
    suites: int = 0


class _Reader:
    """Folds expat's events into a Suite."""

    def __init__(self) -> None:
        self.suite = Suite()
        self.stack: list[str] = []
        self.elements = 0
        self.case: dict[str, str] | None = None
        self.outcome = "passed"

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self.elements += 1
        if self.elements > MAX_ELEMENTS or len(self.stack) >= MAX_DEPTH:
            raise NotProved("it is too large or nested too deeply")
        if not self.stack and name not in ("testsuite", "testsuites"):
            raise NotProved(f"its root is <{name[:40]}>, not <testsuites> or <testsuite>")
        self.stack.append(name)
        if name == "testsuite":
            self._suite(attributes)
        elif name == "testcase":
            self.case, self.outcome = attributes, "passed"
        elif name in ("failure", "error") and self.case is not None:
            self.outcome = "failed"
        elif name == "skipped" and self.case is not None and self.outcome == "passed":
            self.outcome = "skipped"
        elif name == "property" and self.case is None:
            self.suite.properties.append((attributes.get("name", ""), attributes.get("value", "")))

    def end(self, name: str) -> None:
        self.stack.pop()
        if name == "testcase" and self.case is not None:
            self._count(self.case)
            self.case = None

    def _suite(self, attributes: dict[str, str]) -> None:
        self.suite.suites += 1
        if "timestamp" in attributes:
            self.suite.times.append(attributes["timestamp"])
        if "hostname" in attributes:
            self.suite.hosts.add(attributes["hostname"])
        for count in ("failures", "errors"):
            value = attributes.get(count, "0")
            if not value.isdigit() or len(value) > 9:
                raise NotProved(f"the count {count}={value[:20]!r} is no number")
            self.suite.declared += int(value)

    def _count(self, case: dict[str, str]) -> None:
        if self.outcome == "passed":
            self.suite.passed += 1
        elif self.outcome == "skipped":
            self.suite.skipped += 1
        else:
            self.suite.failed.append(f"{case.get('classname', '')} {case.get('name', '')}".strip())


def read(content: bytes) -> Suite:
    """Return what a JUnit file says. Raises NotProved.

    Document types are refused altogether: entities are how XML explodes or reads other files.
    """
    reader, parser = _Reader(), expat.ParserCreate()
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.StartDoctypeDeclHandler = _no_doctype
    parser.EntityDeclHandler = _no_doctype
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        raise NotProved(f"it is not XML: {expat.ErrorString(error.code)}") from None
    except (UnicodeError, LookupError):
        raise NotProved("its encoding is unknown or wrong") from None
    return reader.suite


def _no_doctype(*_: Any) -> None:
    raise NotProved("it holds a document type or entities, which are refused")


def check(content: bytes, staging: set[str]) -> tuple[Suite, set[str], datetime]:
    """Return what a file proves: its suite, the image digests it names, its oldest date.

    `staging` holds the names by which the environment may be called. Raises NotProved.
    """
    suite = read(content)
    if suite.failed or suite.declared:
        names = ", ".join(name[:80] for name in suite.failed[:3]) or "counted by its suite"
        count = max(len(suite.failed), suite.declared)
        raise NotProved(f"{count} failed tests: {names}")
    if not suite.passed:
        raise NotProved(f"no test passed ({suite.skipped} skipped)")
    _ran_in(suite, staging)
    if not suite.times:
        raise NotProved("no <testsuite> has a timestamp, so its age is unknown")
    times = [instant(one, "timestamp", default_zone=True) for one in suite.times]
    images = {
        digest
        for name, value in suite.properties
        if name in ("images", "image") or name.startswith("image.")
        for digest in digests(value.replace(",", " ").split())
    }
    return suite, images, min(times)


def _ran_in(suite: Suite, staging: set[str]) -> None:
    named = {value for name, value in suite.properties if name == "environment"}
    if not named:
        labels = {label for host in suite.hosts for label in host.lower().split(".")}
        named = {
            "staging" if label.startswith("staging-") else label
            for label in labels
            if label in staging or label.startswith("staging-")
        }
    if not named:
        raise NotProved("neither a property `environment` nor a hostname says it ran in staging")
    if named - staging:
        raise NotProved(f"it ran in {sorted(named - staging)[0][:60]}, not in staging")
