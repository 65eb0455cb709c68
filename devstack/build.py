"""Finds each server, or builds it once from its pinned module (or unpacks its packages) into a
cache.

Looked for in this order: the product's environment variable, KUBEBUILDER_ASSETS, PATH (only
where the program says it is of our version line), our cache. Cache:
`${XDG_CACHE_HOME:-~/.cache}/slipway/<name>-<version>/`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from devstack import debian, versions
from devstack.errors import StackError, tail
from devstack.locks import exclusive
from devstack.products import PRODUCTS, Product, Program

TOOLS = Path(__file__).parent / "tools"
NEWS_SECONDS = 20


def ensure(products: Iterable[Product] = PRODUCTS) -> dict[str, Path]:
    """Paths of all programs by name; builds what is missing, with progress on standard output."""
    wanted = list(products)
    found: dict[str, Path] = {}
    for number, product in enumerate(wanted, start=1):
        programs = locate(product)
        if programs is None:
            programs = _build_once(product, f"[{number}/{len(wanted)}]")
        found |= programs
    return found


def locate(product: Product) -> Mapping[str, Path] | None:
    """The product's programs if all of them are there already, else None."""
    named = _from_variable(product)
    if named is not None:
        return named
    found: dict[str, Path] = {}
    for program in product.programs:
        path = _cached(product, program) or _installed(product, program)
        if path is None:
            return None
        found[program.name] = path
    return found


def cache_folder(product: Product) -> Path:
    """Where the product's programs are kept once built."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "slipway" / f"{product.name}-{product.version}"


def _from_variable(product: Product) -> dict[str, Path] | None:
    value = os.environ.get(product.variable)
    if not value:
        return None
    place = Path(value).expanduser().resolve()
    only_one = len(product.programs) == 1 and not place.is_dir()
    found = {p.name: place if only_one else place / p.name for p in product.programs}
    for path in found.values():
        if not os.access(path, os.X_OK):
            raise StackError(
                f"{product.variable}={value}: {path} is not an executable. "
                f"Correct the variable, or unset it to use {product.name} {product.version}."
            )
    return found


def _cached(product: Product, program: Program) -> Path | None:
    path = cache_folder(product) / program.name
    return path if os.access(path, os.X_OK) else None


def _installed(product: Product, program: Program) -> Path | None:
    """A program of the same version line from KUBEBUILDER_ASSETS or PATH."""
    folders = [os.environ.get("KUBEBUILDER_ASSETS"), os.environ.get("PATH")]
    for search in folders:
        path = shutil.which(program.name, path=search) if search else None
        if path and version_line(product.version) == reported_version_line(Path(path), program):
            return Path(path)
    return None


def version_line(version: str) -> tuple[int, int]:
    """Major and minor number: programs that differ in these are not used in place of ours."""
    major, minor, *_ = version.split(".")
    return int(major), int(minor)


def reported_version_line(path: Path, program: Program) -> tuple[int, int] | None:
    """What the program itself says its major and minor version are; None if it does not."""
    try:
        answer = subprocess.run(
            [path, *program.version_argument.split()],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"\bv?(\d+)\.(\d+)\.\d+", answer.stdout + answer.stderr)
    return (int(match[1]), int(match[2])) if match else None


@dataclass(frozen=True)
class _Work:
    """The building of a product, which may take several commands."""

    title: str
    began: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began


def _build_once(product: Product, step: str) -> Mapping[str, Path]:
    target = cache_folder(product)
    title = f"{step} {product.name} {product.version}"
    lock = target.parent / f".{target.name}.lock"
    with exclusive(lock, waiting=lambda: _say(f"{title}: another run builds it, waiting")):
        programs = locate(product)
        if programs is not None:
            return programs
        if product.packages:
            _require_apt(product)
        else:
            _require_go(product)
        _say(f"{title}: building, about {product.seconds} s the first time")
        work = _Work(title)
        _build(product, target, work)
        _say(f"{title}: built in {work.seconds:.0f} s")
    return {program.name: target / program.name for program in product.programs}


def _require_go(product: Product) -> None:
    needed = ".".join(map(str, versions.GO_MINIMUM))
    remedy = (
        f"Install Go {needed} or newer (https://go.dev/dl/), or set {product.variable} "
        f"to {product.name} {product.version}."
    )
    go = shutil.which("go")
    if go is None:
        raise StackError(f"Go is needed to build {product.name} and is not on PATH. {remedy}")
    answer = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=False)
    match = re.search(r"go(\d+)\.(\d+)", answer.stdout)
    if match is None or (int(match[1]), int(match[2])) < versions.GO_MINIMUM:
        have = answer.stdout.strip() or answer.stderr.strip()
        raise StackError(f"Go {needed} is needed to build {product.name}, found {have}. {remedy}")


def _require_apt(product: Product) -> None:
    lacking = debian.missing_tool()
    if lacking is not None:
        raise StackError(
            f"{product.name} is unpacked from Debian's packages, and {lacking} is not here. "
            f"Install {product.name} {product.version}, or set {product.variable} to its program."
        )


def _build(product: Product, target: Path, work: _Work) -> None:
    """Build into a scratch folder beside the target, then rename: all or nothing."""
    scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    log = target.parent / f"{target.name}.log"
    try:
        if product.packages:
            debian.fetch(product, scratch, lambda argv, cwd: _run(argv, cwd, {}, log, work))
        else:
            _build_with_go(product, scratch, log, work)
        if target.exists():
            shutil.rmtree(target)
        scratch.chmod(0o755)
        scratch.rename(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _build_with_go(product: Product, scratch: Path, log: Path, work: _Work) -> None:
    for argv, cwd, environment in build_commands(product, scratch):
        _run(argv, cwd, environment, log, work)
    for program in product.programs:
        built = scratch / program.built_as
        if built.exists() and built.name != program.name:
            built.rename(scratch / program.name)


def build_commands(product: Product, out: Path) -> list[tuple[list[str], Path, dict[str, str]]]:
    """The Go commands (arguments, folder, environment) that put the programs into `out`."""
    flags = ["-trimpath", "-ldflags", f"-s -w {product.ldflags}".strip()]
    if product.tags:
        flags += ["-tags", product.tags]
    # GOWORK=off: a go.work above this checkout must not change what is built.
    environment = {"CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": "-buildvcs=false"}
    packages = [program.package for program in product.programs]
    if product.module is None:
        versioned = [f"{package}@v{product.version}" for package in packages]
        environment["GOBIN"] = str(out)
        return [(["go", "install", *flags, *versioned], out, environment)]
    commands = []
    for program in product.programs:
        argv = ["go", "build", "-mod=readonly", *flags, "-o", str(out / program.name)]
        commands.append(([*argv, program.package], TOOLS / product.module, environment))
    return commands


def _run(
    argv: list[str], cwd: Path, environment: Mapping[str, str], log: Path, work: _Work
) -> None:
    with log.open("ab") as output:
        child = subprocess.Popen(
            argv,
            cwd=cwd,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            code = _wait_telling(child, work)
        except BaseException:
            child.terminate()
            child.wait()
            raise
    if code != 0:
        source = "`go env GOPROXY`" if argv[0] == "go" else "the source of Debian's packages"
        raise StackError(
            f"{work.title}: the build failed (exit code {code}).\n{tail(log)}\n"
            f"The whole log: {log}\n"
            f"Often the network: {source} must be reachable. Then run it again."
        )


def _wait_telling(child: subprocess.Popen[bytes], work: _Work) -> int:
    while True:
        try:
            return child.wait(timeout=NEWS_SECONDS)
        except subprocess.TimeoutExpired:
            _say(f"{work.title}: still building, {work.seconds:.0f} s")


def _say(text: str) -> None:
    print(text, flush=True, file=sys.stdout)
