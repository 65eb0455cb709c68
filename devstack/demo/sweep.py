"""`python -m devstack sweep`: many faults, or many good releases, several environments side by side
on one stack."""

import json
import queue
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Self

from devstack import up
from devstack.demo import fresh, troubles, workers
from devstack.demo.expected import first_decision, unexpected
from devstack.demo.run import Ending, Wish, carry_out
from devstack.demo.wishes import wished
from devstack.errors import StackError
from devstack.stack import Stack
from devstack.world import environment as environments
from devstack.world import expectations, history, layout
from devstack.world.catalog import BY_NAME
from devstack.world.expectations import End

Say = Callable[[str], None]
_HEALTHY = "healthy"


@dataclass(frozen=True)
class Result:
    """How one run ended, and why that is not right where it is not."""

    fault: str
    outcome: str
    reason: str
    parked: list[str]
    """Reasons of the steps that were parked."""
    code: int
    seconds: float
    """The deployment's own time, without the making of its environment."""
    wrong: list[str]
    decided: float = 0.0
    """Seconds from where the fault began (the write of the faulty version, or what was done to a
    server) to the decision: a step parked, the rollback begun, or the end."""


def chosen(patterns: Sequence[str] = ()) -> list[str]:
    """Return the faults to run, by shell patterns: all without one.

    Each fault of a service stands once for every class of traffic, with the service that the
    plan deploys first.
    """
    taken: set[tuple[str, str]] = set()
    found = []
    for one in expectations.everything():
        service, _, fault = one.fault.partition(":")
        if service in BY_NAME:
            what = (fault, BY_NAME[service].traffic.value)
            if what in taken:
                continue
            taken.add(what)
        found.append(one.fault)
    return [one for one in found if not patterns or any(fnmatchcase(one, p) for p in patterns)]


def healthy(count: int) -> list[str]:
    """Return the names of so many runs of a release that has no fault."""
    return [f"{_HEALTHY}:{number}" for number in range(1, count + 1)]


def alone(fault: str) -> bool:
    """Whether a fault strikes a shared server, so that no other run may go on beside it."""
    return _wish(fault)[0].trouble.outage is not None


def left(faults: Sequence[str], file: Path | None) -> list[str]:
    """Return what an earlier sweep has not run, or not with the result that it should have."""
    agreed = {name for name, one in known(file).items() if not one.wrong}
    return [one for one in faults if one not in agreed]


def sweep(faults: Sequence[str], *, jobs: int, file: Path | None, tell: Say) -> list[Result]:
    """Run the demo for each fault; `file` keeps the results, those of earlier sweeps included."""
    results = known(file)

    def keep(result: Result) -> None:
        results[result.fault] = result
        tell(line(result))
        if file is not None:
            layout.write_json(file, [asdict(one) for one in results.values()])

    with _Slots(up.up(demo=False), jobs) as slots:
        _in_parallel([one for one in faults if not alone(one)], jobs, slots.run, keep)
        _in_parallel([one for one in faults if alone(one)], 1, slots.run, keep)
    return [results[one] for one in faults]


class _Slots:
    """Environments with workers of their own; each takes one run after the other."""

    def __init__(self, stack: Stack, jobs: int) -> None:
        self._stack = stack
        self._names = history.POOL[-jobs:]  # environments of these names have a past
        self._free: queue.Queue[str] = queue.Queue()

    def __enter__(self) -> Self:
        for name in self._names:
            workers.start(self._stack, _queue(name))
            self._free.put(name)
        return self

    def run(self, fault: str) -> Result:
        """Run one fault in the next free environment."""
        name = self._free.get()
        try:
            return _run(self._stack, name, fault)
        finally:
            self._free.put(name)

    def __exit__(self, *_: object) -> None:
        up.up(demo=False)
        for name in self._names:
            workers.stop(self._stack, _queue(name))
            with suppress(StackError):
                environments.destroy(self._stack, name)


def line(result: Result) -> str:
    """Return a result as a line, and what is wrong in lines of their own."""
    parked = f" (parked: {', '.join(result.parked)})" if result.parked else ""
    said = "agrees" if not result.wrong else "DISAGREES"
    head = (
        f"{result.fault:32} {result.outcome:12} {result.reason}{parked}, exit {result.code}, "
        f"decided after {result.decided:.0f} s, {result.seconds:.0f} s in all: {said}"
    )
    return "\n".join([head, *[f"    - {one}" for one in result.wrong]])


def table(results: Iterable[Result]) -> str:
    """Return all results as a table in Markdown."""
    rows = [
        f"| {one.fault} | {one.outcome} | {one.reason} | {', '.join(one.parked) or '-'} "
        f"| {one.code} | {one.decided:.1f} | {one.seconds:.0f} "
        f"| {'yes' if not one.wrong else 'no'} |"
        for one in results
    ]
    head = "| Fault | Outcome | Reason | Parked | Exit | Decided after (s) | Seconds | Agrees |"
    return "\n".join([head, "| --- " * 8 + "|", *rows])


def _in_parallel(
    faults: Sequence[str],
    jobs: int,
    run: Callable[[str], Result],
    keep: Callable[[Result], None],
) -> None:
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        pending: list[Future[Result]] = [pool.submit(run, fault) for fault in faults]
        try:
            for one in as_completed(pending):
                keep(one.result())
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _run(stack: Stack, name: str, fault: str) -> Result:
    wish, allowed = _wish(fault)
    programs = troubles.programs(wish.trouble, stack)
    log = layout.root(stack) / "logs" / "sweep" / f"{fault.replace(':', '-')}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    try:
        made = fresh.environment(stack, name)
        began = time.monotonic()
        if programs is not None:
            workers.start(stack, _queue(name), programs=programs)
        with log.open("wb") as output:
            ending = carry_out(stack, made, wish, _queue(name), to=output.fileno())
    except Exception as error:  # one run that breaks must not end the others
        return Result(fault, "broken", "", [], 1, time.monotonic() - began, [repr(error)[:500]])
    finally:
        if programs is not None:
            workers.start(stack, _queue(name))
    wrong = [*ending.wrong, *unexpected(ending, allowed)]
    if _is_healthy(fault) and ending.parked:
        wrong.append("a healthy release was parked")
    return _result(fault, ending, wrong)


def _is_healthy(name: str) -> bool:
    return name.startswith(f"{_HEALTHY}:")


def _wish(name: str) -> tuple[Wish, list[End]]:
    return wished(None if _is_healthy(name) else name)


def _result(fault: str, ending: Ending, wrong: list[str]) -> Result:
    parked = [str((one["verdict"] or {}).get("reason", "?")) for one in ending.parked]
    seconds = ending.ended - ending.started
    decided = first_decision(ending) - ending.began
    return Result(
        fault,
        ending.outcome,
        ending.reason,
        parked,
        ending.code,
        round(seconds, 1),
        wrong,
        round(decided, 1),
    )


def _queue(name: str) -> str:
    return f"slipway-sweep-{name}"


def known(file: Path | None) -> dict[str, Result]:
    """Return what an earlier sweep wrote. Raises StackError for a file that is none of it."""
    if file is None or not file.exists():
        return {}
    try:
        return {one["fault"]: Result(**one) for one in json.loads(file.read_text())}
    except (ValueError, TypeError, KeyError):
        raise StackError(f"{file} holds no results of a sweep: name another file.") from None
