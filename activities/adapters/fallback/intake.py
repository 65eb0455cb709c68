"""From messages of the stream to transactions of the side database.

Whole transactions of production are gathered and written together. One that is too large for
memory gets a transaction of the side's own, in pieces, and is taken back when it turns out to be a
migration: what inserts into the ledger is never applied, it begins another epoch.
"""

from activities.adapters.fallback.apply import Applier
from activities.adapters.fallback.conflicts import Task
from activities.adapters.fallback.mapping import Epoch, Mapper, Unmappable, learn
from activities.adapters.fallback.production import Production
from activities.adapters.fallback.protocol import (
    Begin,
    Change,
    Commit,
    Emitted,
    Op,
    Parser,
    ProtocolError,
    Relation,
    Truncated,
)
from activities.adapters.fallback.side import Side, Statement
from activities.adapters.fallback.skipped import Skipped
from activities.adapters.fallback.state import State
from activities.adapters.fallback.store import DRAIN, MIGRATION
from activities.adapters.fallback.wire import REMEDY
from slipway.errors import FallbackLost

_MOST = 5_000
_LARGEST = 32 * 1024 * 1024


class Again(Exception):
    """Stream anew from the stored position, in the epoch that is stored by now."""


class Intake:
    """Takes messages in and writes what is complete."""

    def __init__(self, state: State, side: Side, production: Production, publication: str) -> None:
        """`state`: as `side` has it."""
        self.state = state
        self._publication = publication
        self._production = production
        self._applier = Applier(side, state.register)
        self._mapper = Mapper(state.carried, state.epoch)
        self._parser = Parser()
        self._batch: list[Task] = []
        self._batch_size = 0
        self._transactions = 0
        self._end = state.position
        self._marked = False
        """Whether a drain waits for what is written next."""
        self._known_conflicts = state.conflicts
        self._begin: Begin | None = None
        self._clear()

    def _clear(self) -> None:
        """Forget the transaction that was being read."""
        self._begin = None
        self._changes: list[Change] = []
        self._size = 0
        self._migration = False
        self._large = False
        self._applied = 0
        self._doubt: Relation | None = None
        self._drains = False
        self._skipped = Skipped()

    @property
    def waiting(self) -> bool:
        """Whether whole transactions wait to be written."""
        return self._end > self.state.position

    @property
    def full(self) -> bool:
        """Whether they should be written before more is read."""
        return len(self._batch) >= _MOST or self._batch_size >= _LARGEST

    @property
    def between(self) -> bool:
        """Whether no transaction is half read."""
        return self._begin is None

    def take(self, data: bytes) -> None:
        """Take one message in. Raises Again, psycopg.OperationalError, FallbackLost."""
        try:
            message = self._parser.parse(data)
        except ProtocolError as error:
            raise FallbackLost(f"Production's server sent {error}.", "Report it.") from None
        if isinstance(message, Change):
            self._add(message)
        elif isinstance(message, Begin):
            self._clear()
            self._begin = message
        elif isinstance(message, Commit):
            self._commit(message)
        elif isinstance(message, Emitted):
            self._heed(message)
        elif isinstance(message, Truncated):
            for one in message.changes:
                self._add(one)

    def _heed(self, message: Emitted) -> None:
        if self._begin is None or not message.transactional:
            return
        if message.prefix == DRAIN:
            self._drains = True
        elif message.prefix == MIGRATION:
            self._skip()

    def _skip(self) -> None:
        self._migration = True
        self._changes.clear()

    def _add(self, change: Change) -> None:
        self._skipped.note(change)
        if self._migration:
            return
        if change.relation.oid == self.state.ledger:  # the old data keeps its own
            if change.op is Op.INSERT:
                self._skip()
            return
        self._changes.append(change)
        self._size += change.size
        if len(self._changes) >= _MOST or self._size >= _LARGEST:
            self._spill()

    def _spill(self) -> None:
        """Write what was read of a large transaction, in a transaction of the side's own."""
        if self._doubt is None:
            if not self._large:
                self.write()
                self._large = True
            try:
                tasks = [self._task(one) for one in self._changes]
            except Unmappable as error:  # perhaps a migration: its end tells
                self._doubt = error.relation
                self._applier.undo()
            else:
                self._applier.apply(tasks)
                self._applied += len(tasks)
        self._changes.clear()
        self._size = 0

    def _task(self, change: Change) -> Task:
        assert self._begin is not None
        mapped = self._mapper.of(change.relation)
        return Task(mapped, change, self._begin.commit_lsn, self._begin.xid)

    def _commit(self, commit: Commit) -> None:
        begin = self._begin
        if begin is None:
            raise FallbackLost("Production's server ended a transaction that never began.")
        if commit.commit_lsn < self.state.position:  # read before; the server should not send it
            self._applier.undo()
        elif self._migration:
            self._migrated(begin, commit)
        elif self._large:
            self._finish_large(begin, commit)
        else:
            self._gather(commit, begin.xid)
        self._clear()

    def _finish_large(self, begin: Begin, commit: Commit) -> None:
        self._spill()
        if self._doubt is not None:
            self._renew(self._doubt, begin.xid)
            raise Again
        self._marked |= self._drains
        self._store(commit.end_lsn, self._mapper.epoch, 1, self._applied)

    def _gather(self, commit: Commit, xid: int) -> None:
        for one in self._changes:
            try:
                task = self._task(one)
            except Unmappable as error:
                self._renew(error.relation, xid)
                task = self._task(one)
            self._batch.append(task)
        self._batch_size += self._size
        self._transactions += 1
        self._end = commit.end_lsn
        self._marked |= self._drains

    def _migrated(self, begin: Begin, commit: Commit) -> None:
        if self._large:
            self._applier.undo()
        self.write()
        epoch = self._production.next_epoch(self._mapper.epoch, begin.xid, begin.xid)
        self._marked |= self._drains
        mappers = (self._mapper, Mapper(self.state.carried, epoch))
        skipped = self._skipped.statement(begin.xid, mappers)
        self._store(commit.end_lsn, epoch, 0, 0, skipped)
        self._mapper.enter(epoch)

    def _renew(self, relation: Relation, xid: int) -> None:
        """DDL outside a migration: read the catalog anew and store the epoch with the old position.

        Raises FallbackLost when the relation fits it no better.
        """
        self.write()
        epoch = self._production.next_epoch(self._mapper.epoch, xid, None)
        try:
            epoch = self._fitting(epoch, relation)
        except Unmappable:
            names = ", ".join(one.name for one in relation.columns)
            raise FallbackLost(
                f"Which old columns the columns of {relation.name} ({names}) are cannot be told: "
                "its table was changed more than once before the follower could look.",
                REMEDY,
            ) from None
        self._store(self.state.position, epoch, 0, 0)

    def _fitting(self, epoch: Epoch, relation: Relation) -> Epoch:
        """Enter an epoch in which the relation has its place. Raises Unmappable."""
        self._mapper.enter(epoch)
        try:
            self._mapper.of(relation)
        except Unmappable:
            epoch = learn(epoch, relation)
            self._mapper.enter(epoch)
            self._mapper.of(relation)
        return epoch

    def write(self) -> None:
        """Write the transactions that wait, and the position behind them."""
        if not self.waiting:
            return
        self._applier.apply(self._batch)
        self._store(self._end, self._mapper.epoch, self._transactions, len(self._batch))
        self._batch, self._batch_size, self._transactions = [], 0, 0

    def rest(self, position: int) -> None:
        """Store a position that the server has come to without anything to write."""
        if self.between and not self.waiting and position > self.state.position:
            self._check()
            self._store(position, self._mapper.epoch, 0, 0)

    def _check(self) -> None:
        """A drain trusts a position beyond its marker: nothing may have been kept back before."""
        self._production.check_publication(self._publication, list(self.state.epoch.tables))

    def _store(
        self, position: int, epoch: Epoch, transactions: int, changes: int, *more: Statement
    ) -> None:
        state = self.state
        if self._marked:
            self._check()
        self._applier.commit([*more, *state.moved(position, epoch, transactions, changes)])
        state.position, state.epoch = position, epoch
        state.transactions += transactions
        state.changes += changes
        state.conflicts = self._known_conflicts + self._applier.conflicts
        self._marked = False
        self._end = max(self._end, position)
