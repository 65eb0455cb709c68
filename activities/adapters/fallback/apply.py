"""Production's changes written into the side database, in one transaction with the position.

A flight of statements that fails is taken back to its savepoint, and the change that was refused
is singled out: it alone becomes a conflict record, all others are applied.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import psycopg
from psycopg import pq

from activities.adapters.fallback.conflicts import Register, Task
from activities.adapters.fallback.mapping import Mapped
from activities.adapters.fallback.protocol import Op
from activities.adapters.fallback.side import Refusal, Side, Statement
from activities.adapters.fallback.statements import NoWay, Work, Writer, works

_BEGIN = Statement(b"BEGIN")
_COMMIT = Statement(b"COMMIT")
_MARK = Statement(b"SAVEPOINT slipway")
_BACK = Statement(b"ROLLBACK TO SAVEPOINT slipway")
_RELEASE = Statement(b"RELEASE SAVEPOINT slipway")
_NO_VALUE = "22"
"""The class of errors of a value that a column's type cannot hold: no row can have it."""


@dataclass(frozen=True)
class _Failure:
    """Which of some changes failed: `first` to `last`, and how."""

    first: int
    last: int
    refusal: Refusal
    missing: bool = False
    """An UPDATE or a DELETE found no row."""


class Applier:
    """Writes changes. One transaction is open from the first `apply` to `commit` or `undo`."""

    def __init__(self, side: Side, register: Register) -> None:
        """`side`: the session to write with, in no transaction. `register`: of its records."""
        self._side = side
        self._register = register
        self._leaving: list[Statement] | None = None
        self._records: list[Statement] = []
        self._writers: dict[Mapped, Writer] = {}
        self._counted = 0
        self.conflicts = 0
        """Records written so far."""

    def apply(self, tasks: Sequence[Task]) -> None:
        """Write changes in order. Raises psycopg.OperationalError when the session is lost."""
        at, most = 0, max(1, len(tasks))
        while at < len(tasks):
            piece = tasks[at : at + most]
            failed = self._attempt(piece)
            if failed is None:
                at += len(piece)
                most = min(most * 2, len(tasks))
            elif failed.first:
                most = failed.first
            elif failed.last > 1:
                most = failed.last // 2
            else:
                self._single(piece[0], failed)
                at, most = at + 1, 1

    def commit(self, more: Sequence[Statement]) -> None:
        """Write `more`, each of which must hit one row, and commit all."""
        before = self._outside()
        answers = self._side.run([*before, *more, _COMMIT])
        counts = [one.command_tuples for one in answers.results[len(before) : -1]]
        if answers.refusal is not None or counts != [1] * len(more):
            raise psycopg.OperationalError(
                f"the side database did not take the position ({answers.refusal or counts}): "
                "another follower may be at work"
            )
        if answers.results[-1].command_status != b"COMMIT":
            raise psycopg.OperationalError("the side database did not commit")
        self._leaving = None
        self.conflicts += self._counted
        self._counted = 0

    def undo(self) -> None:
        """Take back everything since the last commit."""
        if self._leaving is not None:
            self._side.run([Statement(b"ROLLBACK")])
        self._leaving, self._records, self._counted = None, [], 0

    def _outside(self) -> list[Statement]:
        """What leads out of the last savepoint, and the records that wait."""
        before = [_BEGIN] if self._leaving is None else self._leaving
        records, self._records = self._records, []
        return [*before, *records]

    def _attempt(self, piece: Sequence[Task]) -> _Failure | None:
        for at, one in enumerate(piece):
            if one.mapped.carried is None:
                refusal = Refusal("", "the old schema has no such table", "")
                return _Failure(at, at + 1, refusal)
        try:
            made = works([(self._writer(one.mapped), one.change) for one in piece])
        except NoWay as error:
            return _Failure(error.at, error.at + 1, Refusal("", str(error), ""))
        return self._fly(piece, made)

    def _writer(self, mapped: Mapped) -> Writer:
        found = self._writers.get(mapped)
        if found is None:
            if len(self._writers) > 2_000:  # states of tables that are long gone
                self._writers.clear()
            found = self._writers[mapped] = Writer(mapped)
        return found

    def _fly(
        self, piece: Sequence[Task], made: Sequence[Work], *, healing: bool = False
    ) -> _Failure | None:
        before = [*self._outside(), _MARK]
        answers = self._side.run([*before, *(one.statement for one in made)])
        if len(answers.results) < len(before):
            raise psycopg.OperationalError(f"the side database refuses records: {answers.refusal}")
        self._leaving = [_BACK, _RELEASE]
        notes: dict[int, list[tuple[str, str]]] = {}
        for work, result in zip(made, answers.results[len(before) :], strict=False):
            wrong = _judge(work, result)
            if wrong is not None:
                return wrong
            self._compare(piece, work, result, notes)
        if answers.refusal is not None:
            work = made[len(answers.results) - len(before)]
            return _Failure(work.first, work.last, answers.refusal)
        self._leaving = [_RELEASE]
        self._take_note(piece, notes, healing)
        return None

    def _compare(
        self,
        piece: Sequence[Task],
        work: Work,
        result: pq.abc.PGresult,
        notes: dict[int, list[tuple[str, str]]],
    ) -> None:
        """Note what was written otherwise than production has it: kind and columns, by task."""
        for number, values in enumerate(work.sent):
            read = [result.get_value(number, at) for at in range(len(values))]
            if read != list(values):
                names = [(result.fname(at) or b"").decode() for at in range(len(values))]
                odd = [name for name, a, b in zip(names, read, values, strict=True) if a != b]
                notes.setdefault(work.first + number, []).append(("altered", ", ".join(odd)))
        invented = ", ".join(piece[work.first].mapped.invented)
        if work.kind is Op.INSERT and invented:
            for at in range(work.first, work.last):
                notes.setdefault(at, []).append(("invented", invented))

    def _take_note(
        self, piece: Sequence[Task], notes: dict[int, list[tuple[str, str]]], healing: bool
    ) -> None:
        """Settle and record, in the order of the changes."""
        if not notes and not self._register.busy:
            return
        for at, task in enumerate(piece):
            settled = self._register.settles(task, healed=healing)
            if settled is not None:
                self._records.append(settled)
            for kind, columns in notes.get(at, ()):
                self._record(task, kind, Refusal("", "", columns))

    def _record(self, task: Task, kind: str, refusal: Refusal) -> None:
        self._records.append(self._register.record(task, kind, refusal))
        self._counted += 1

    def _single(self, task: Task, failed: _Failure) -> None:
        """One change that was refused: heal it, apply it otherwise, or record it."""
        again: _Failure | None = failed
        try:
            if task.change.op is Op.DELETE:
                absent = failed.missing or failed.refusal.sqlstate.startswith(_NO_VALUE)
                settled = self._register.settles(task) if absent else None
                if settled is not None:  # the row was refused before, and is in neither now
                    self._records.append(settled)
                    return
            elif failed.missing:
                heal = self._writer(task.mapped).heal(task.change)
                again = self._fly([task], [heal], healing=True)
            elif task.change.op is Op.TRUNCATE and task.mapped.carried is not None:
                again = self._fly([task], [self._writer(task.mapped).empty()])
        except NoWay as error:
            again = _Failure(0, 1, Refusal("", str(error), ""))
        if again is not None:
            self._record(task, "refused", again.refusal)


def _judge(work: Work, result: pq.abc.PGresult) -> _Failure | None:
    hit = result.command_tuples
    if work.rows is None or hit == work.rows:
        return None
    words = "the row is missing" if not hit else f"{hit} rows were hit instead of {work.rows}"
    missing = not hit and work.kind is not Op.INSERT
    return _Failure(work.first, work.last, Refusal("", words, ""), missing)
