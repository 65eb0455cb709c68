"""Fetches a program that Debian packages into a folder of ours: nothing is installed, no root.

apt proves by its signed index what it downloads; files of versions that we know must also have the
digest that we have pinned.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from devstack.errors import StackError
from devstack.products import Product

Run = Callable[[list[str], Path], None]
"""Runs a command in a folder; raises StackError when it fails."""

_START = """#!/bin/sh
# {name} with the libraries that were unpacked beside it
here=$(dirname "$(readlink -f "$0")")
LD_LIBRARY_PATH="$here/lib${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}" exec "$here/lib/{name}" "$@"
"""


def missing_tool() -> str | None:
    """The first of Debian's own tools that is not here, None when all are."""
    return next((one for one in ("apt-get", "dpkg-deb") if shutil.which(one) is None), None)


def fetch(product: Product, out: Path, run: Run) -> None:
    """Put the product's programs into `out`, each as a script that finds its libraries."""
    files = out / "packages"
    files.mkdir()
    _download(list(product.packages), files, run)
    for file in sorted(files.glob("*.deb")):
        _prove(file, product.packages)
        run(["dpkg-deb", "--extract", file.name, "unpacked"], files)
    library = out / "lib"
    library.mkdir()
    for path in (files / "unpacked").rglob("lib*.so*"):
        shutil.copy2(path, library / path.name, follow_symlinks=False)
    if product.beside:
        shutil.copytree(files / "unpacked" / product.beside, library, dirs_exist_ok=True)
    for program in product.programs:
        shutil.copy2(files / "unpacked" / program.package, library / program.name)
        start = out / program.name
        start.write_text(_START.format(name=program.name))
        start.chmod(0o755)
    shutil.rmtree(files)


def _download(names: list[str], files: Path, run: Run) -> None:
    """By the machine's own list of packages; where that is missing or old, by a fresh one."""
    # as root apt would download as a user who may not enter our folder
    options = ["-o", "APT::Sandbox::User=root"] if os.geteuid() == 0 else []
    try:
        run(["apt-get", *options, "download", *names], files)
    except StackError:
        lists = files / "lists"
        (lists / "partial").mkdir(parents=True)
        options += ["-o", f"Dir::State::Lists={lists}", "-o", f"Dir::Cache={files / 'cache'}"]
        run(["apt-get", *options, "update"], files)
        run(["apt-get", *options, "download", *names], files)


def _prove(file: Path, known: Mapping[str, Mapping[str, str]]) -> None:
    name = file.name.partition("_")[0]
    wanted = known[name].get(file.name)
    if wanted is not None and hashlib.sha256(file.read_bytes()).hexdigest() != wanted:
        raise StackError(
            f"{file.name} is not the file that was pinned (SHA-256 {wanted}). "
            "Do not use it; find out where it came from."
        )
