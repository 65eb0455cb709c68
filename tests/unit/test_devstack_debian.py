"""Unpacking a server from Debian's packages."""

import hashlib
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from devstack import build
from devstack.errors import StackError
from devstack.products import PGBOUNCER, Product, Program
from tests.unit.test_devstack_build import clean_machine, script

__all__ = ["clean_machine"]
FILE = "toy_3.6.14-1_amd64.deb"
CONTENT = "a package\n"


def toy(sha256: str = hashlib.sha256(CONTENT.encode()).hexdigest(), file: str = FILE) -> Product:
    programs = (Program("toy", "usr/sbin/toy", "toy"),)
    return Product("toy", "3.6.14", "SLIPWAY_TOY", programs, 1, packages={"toy": {file: sha256}})


def debian(folder: Path, download: str = f"printf 'a package\\n' > {FILE}") -> None:
    """Debian's tools: `apt-get` runs `download`, `dpkg-deb` lays a program and a library."""
    script(
        folder / "bin" / "apt-get",
        f'echo "$@" >> {folder}/asked\ncase "$*" in *download*) {download};; esac',
    )
    script(
        folder / "bin" / "dpkg-deb",
        'mkdir -p "$3/usr/sbin" "$3/usr/lib/any"\n'
        'printf \'#!/bin/sh\\necho "$LD_LIBRARY_PATH"\\n\' > "$3/usr/sbin/toy"\n'
        'chmod 755 "$3/usr/sbin/toy"; : > "$3/usr/lib/any/libtoy.so.1"; '
        ': > "$3/usr/lib/any/data.pak"',
    )


def test_a_program_starts_with_the_libraries_beside_it(tmp_path: Path) -> None:
    debian(tmp_path)
    found = build.ensure([toy()])["toy"]
    library = build.cache_folder(toy()) / "lib"
    done = subprocess.run([found], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(library)
    assert (library / "libtoy.so.1").exists()
    assert not (build.cache_folder(toy()) / "packages").exists()


def test_a_program_finds_its_own_files_beside_itself(tmp_path: Path) -> None:
    debian(tmp_path)
    product = replace(toy(), beside="usr/lib/any")
    build.ensure([product])
    library = build.cache_folder(product) / "lib"
    assert {"toy", "data.pak", "libtoy.so.1"} <= {one.name for one in library.iterdir()}


def test_a_list_of_packages_that_is_missing_is_fetched_into_a_folder_of_ours(
    tmp_path: Path,
) -> None:
    asked = tmp_path / "asked"
    debian(tmp_path, f"grep -q update {asked} || exit 100; printf 'a package\\n' > {FILE}")
    build.ensure([toy()])
    first, update, again = asked.read_text().splitlines()
    assert "Dir::State::Lists" not in first
    assert update.endswith("update")
    assert "Dir::State::Lists" in update
    assert "Dir::State::Lists" in again


def test_a_file_that_is_not_the_pinned_one_is_refused(tmp_path: Path) -> None:
    debian(tmp_path)
    with pytest.raises(StackError, match="not the file that was pinned"):
        build.ensure([toy(sha256="0" * 64)])
    assert not build.cache_folder(toy()).exists()


def test_a_newer_revision_is_taken_on_the_word_of_debians_index(tmp_path: Path) -> None:
    debian(tmp_path)
    assert build.ensure([toy(sha256="0" * 64, file="toy_3.6.14-0_amd64.deb")])


def test_without_debians_tools_the_remedy_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        StackError, match=r"apt-get is not here\. Install toy 3\.6\.14.*SLIPWAY_TOY"
    ):
        build.ensure([toy()])


def test_every_pinned_file_is_of_the_package_that_names_it() -> None:
    for name, files in PGBOUNCER.packages.items():
        for file, digest in files.items():
            assert file.startswith(f"{name}_")
            assert len(digest) == 64
