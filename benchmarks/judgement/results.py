"""What the cells' runs came to: measured in shards, kept in files, so that a long campaign can be
stopped and resumed. A shard is known by the code that it was measured with."""

import ast
import hashlib
import zlib
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.judgement.cells import Cell, cells
from benchmarks.judgement.rules import RULES
from benchmarks.judgement.scrapes import Floats
from benchmarks.judgement.shipped import judged

SEED = 20261129
H3, HOLD = "h3", "h3 HOLD"
SAFE, SAFE_EVER = "SAFE at the end", "SAFE ever"
_ROOT = Path(__file__).parents[2]
_MEASURING = (
    *(
        f"benchmarks/judgement/{name}.py"
        for name in ("scrapes", "traffic", "pods", "rules", "parts", "cells", "shipped")
    ),
    *(f"slipway/judgements/{name}.py" for name in ("detector", "eprocess", "bounds", "rule")),
)


@dataclass(frozen=True)
class Found:
    """Of each run of a cell."""

    cell: Cell
    times: dict[str, Floats]
    """When each rule rolls back (HOLD: holds), in seconds since the window began; infinity: never.
    Of the SAFE columns: 0 where it was certified."""
    requests: Floats
    failures: Floats

    @property
    def runs(self) -> int:
        """How many runs were measured."""
        return len(self.requests)


def version(seed: int) -> str:
    """Return the name of the code that measures, and of the seed."""
    digest = hashlib.sha256(str(seed).encode())
    for name in _MEASURING:
        digest.update(_meaning(_ROOT / name))
    return digest.hexdigest()[:16]


def _meaning(file: Path) -> bytes:
    """Return a module without comments, documentation, layout, imports and what only makes words:
    none of that changes a decision."""
    tree = _Wordless().visit(ast.parse(file.read_text()))
    return ast.dump(tree).encode()


class _Wordless(ast.NodeTransformer):
    """Leaves out imports, texts that are put together, functions that return a text."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST | None:
        says = isinstance(node.returns, ast.Name) and node.returns.id == "str"
        return None if says else self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        return ast.Pass() if isinstance(node.value, ast.Constant) else self.generic_visit(node)

    def visit_JoinedStr(self, _: ast.JoinedStr) -> ast.AST:
        return ast.Constant(None)

    def visit_Import(self, _: ast.Import) -> None:
        return None

    def visit_ImportFrom(self, _: ast.ImportFrom) -> None:
        return None


def shards(cell: Cell, most: int | None) -> range:
    """Return the shards of a cell, at `most` so many runs where that is given."""
    runs = cell.runs if most is None else min(cell.runs, most)
    return range(-(-runs // cell.shard))


def measure(
    names: Iterable[str], folder: Path, seed: int, most: int | None, processes: int, say: Any
) -> None:
    """Simulate and judge what is not yet in `folder`: of each cell its first shard, of each its
    second and so on, so that something is known of all of them early."""
    known = cells()
    todo = [
        (name, shard, file)
        for name in names
        for shard in shards(known[name], most)
        if not (file := _file(folder, name, shard)).exists()
    ]
    todo.sort(key=lambda one: one[1])
    with ProcessPoolExecutor(processes) as pool:
        for done, _ in enumerate(pool.map(_measure, todo, [seed] * len(todo)), start=1):
            if done % 20 == 0 or done == len(todo):
                say(f"{done} of {len(todo)} shards: {todo[done - 1][0]}")


def found(name: str, folder: Path, most: int | None, complete: bool = True) -> Found | None:
    """Read a cell's runs back; where it need not be `complete`, those that were measured so far,
    or None. Raises FileNotFoundError where a shard is missing."""
    cell = cells()[name]
    files = [_file(folder, name, shard) for shard in shards(cell, most)]
    parts = []
    for file in files if complete else filter(Path.exists, files):
        with np.load(file) as kept:
            parts.append({key: kept[key] for key in kept.files})
    if not parts:
        return None
    whole: dict[str, NDArray[np.float64]] = {
        key: np.concatenate([part[key] for part in parts]) for key in parts[0]
    }
    requests, failures = whole.pop("requests"), whole.pop("failures")
    return Found(cell, whole, requests, failures)


def simulated(cell: Cell, shard: int, seed: int) -> dict[str, Floats]:
    """Simulate and judge one shard. The same seed and shard give the same runs, whichever other
    cells and shards are measured."""
    random = np.random.default_rng([seed, zlib.crc32(cell.name.encode()), shard])
    runs = cell.shard
    columns = [*RULES, H3, HOLD, SAFE, SAFE_EVER]
    times = {column: np.full(runs, np.inf) for column in columns}
    totals = {"requests": np.zeros(runs), "failures": np.zeros(runs)}
    for part in cell.make(random, runs):
        verdict = judged(part, cell.to_the_end)
        ours = {
            H3: verdict.rollback,
            HOLD: verdict.hold,
            SAFE: np.where(verdict.safe, 0.0, np.inf),
            SAFE_EVER: np.where(verdict.safe_ever, 0.0, np.inf),
        }
        for column in columns:
            value = ours[column] if column in ours else RULES[column](part.scrapes)
            np.minimum.at(times[column], part.run, value)
        np.add.at(totals["requests"], part.run, part.scrapes.requests.sum(axis=1))
        np.add.at(totals["failures"], part.run, part.scrapes.failures.sum(axis=1))
    return times | totals


def _measure(task: tuple[str, int, Path], seed: int) -> None:
    name, shard, file = task
    kept = simulated(cells()[name], shard, seed)
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial.npz")
    np.savez_compressed(partial, allow_pickle=False, **kept)
    partial.replace(file)


def _file(folder: Path, name: str, shard: int) -> Path:
    return folder / name.replace(" ", "_").replace("/", "_") / f"{shard:04}.npz"
