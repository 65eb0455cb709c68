"""Finding and building the local stack's servers."""

import re
import threading
from pathlib import Path

import pytest

from devstack import build, compose, versions
from devstack.errors import StackError
from devstack.products import PRODUCTS, Product, Program

TOY = Product("toy", "3.6.14", "SLIPWAY_TOY", (Program("toy", "example.org/toy", "server"),), 1)
PAIR = Product(
    "pair",
    "1.2.3",
    "SLIPWAY_PAIR",
    (Program("left", "example.org/l", "left"), Program("right", "example.org/r", "right")),
    1,
    module="etcd",
)


@pytest.fixture(autouse=True)
def clean_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Neither cache nor variables of the machine; PATH holds tmp_path/bin and the system."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    for name in ("SLIPWAY_TOY", "SLIPWAY_PAIR", "KUBEBUILDER_ASSETS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def script(path: Path, text: str) -> Path:
    """An executable shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_a_program_of_the_same_version_line_is_taken_from_path(tmp_path: Path) -> None:
    program = script(tmp_path / "bin" / "toy", "echo 'toy Version: 3.6.2'")
    assert build.locate(TOY) == {"toy": program}


@pytest.mark.parametrize("answer", ["echo 'toy Version: 3.4.23'", "echo no version", "exit 3"])
def test_another_version_on_path_is_not_taken(tmp_path: Path, answer: str) -> None:
    script(tmp_path / "bin" / "toy", answer)
    assert build.locate(TOY) is None


def test_kubebuilder_assets_come_before_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(tmp_path / "bin" / "toy", "echo 3.6.1")
    wanted = script(tmp_path / "assets" / "toy", "echo 3.6.2")
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(wanted.parent))
    assert build.locate(TOY) == {"toy": wanted}


def test_the_variable_wins_whatever_its_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = script(tmp_path / "elsewhere" / "my-toy", "echo 9.9.9")
    monkeypatch.setenv("SLIPWAY_TOY", str(chosen))
    assert build.locate(TOY) == {"toy": chosen}


def test_a_wrong_variable_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_PAIR", "/nowhere")
    with pytest.raises(StackError, match=r"SLIPWAY_PAIR=/nowhere.*left.*unset it"):
        build.locate(PAIR)


def test_one_missing_program_makes_the_whole_product_missing(tmp_path: Path) -> None:
    script(tmp_path / "bin" / "left", "echo 1.2.3")
    assert build.locate(PAIR) is None


def test_a_build_lands_in_the_cache_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script(
        tmp_path / "bin" / "go",
        'if [ "$1" = env ]; then echo go1.99.0; exit; fi\n'
        f'echo built >> {tmp_path}/count; cp /bin/true "$GOBIN/server"',
    )
    threads = [threading.Thread(target=build.ensure, args=([TOY],)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "count").read_text() == "built\n"
    assert build.locate(TOY) == {"toy": build.cache_folder(TOY) / "toy"}
    assert "[1/1] toy 3.6.14: built in" in capsys.readouterr().out


def test_a_failed_build_tells_the_log_and_leaves_nothing(tmp_path: Path) -> None:
    script(
        tmp_path / "bin" / "go",
        'if [ "$1" = env ]; then echo go1.99.0; exit; fi\necho "no such module"; exit 1',
    )
    with pytest.raises(StackError, match="no such module") as failure:
        build.ensure([TOY])
    assert "GOPROXY" in str(failure.value)
    assert not build.cache_folder(TOY).exists()
    assert [path.suffix for path in (tmp_path / "cache" / "slipway").glob("toy*")] == [".log"]


def test_an_old_go_is_refused_before_it_runs(tmp_path: Path) -> None:
    script(tmp_path / "bin" / "go", "echo go1.19.8")
    with pytest.raises(StackError, match=r"Go 1\.26 is needed to build toy, found go1\.19\.8"):
        build.ensure([TOY])


def test_products_differ_in_everything_that_names_them() -> None:
    for names in (
        [product.name for product in PRODUCTS],
        [product.variable for product in PRODUCTS],
        [program.name for product in PRODUCTS for program in product.programs],
    ):
        assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("module", "requirement"),
    [
        ("etcd", f"go.etcd.io/etcd/server/v3 v{versions.ETCD}"),
        ("prometheus", f"github.com/prometheus/prometheus v{versions.PROMETHEUS_MODULE}"),
        ("kubernetes", f"k8s.io/kubernetes v{versions.KUBERNETES}"),
        ("compose", f"github.com/compose-spec/compose-go/v2 v{compose.COMPOSE_GO}"),
    ],
)
def test_committed_modules_are_of_the_pinned_version(module: str, requirement: str) -> None:
    assert requirement in (build.TOOLS / module / "go.mod").read_text()
    assert requirement.split()[0] in (build.TOOLS / module / "go.sum").read_text()


def test_kubernetes_staging_modules_are_of_the_same_patch() -> None:
    text = (build.TOOLS / "kubernetes" / "go.mod").read_text()
    replaced = re.findall(r"^\s+k8s\.io/\S+ => k8s\.io/\S+ v0\.(\S+)$", text, re.MULTILINE)
    assert len(replaced) == 33
    assert set(replaced) == {versions.KUBERNETES.removeprefix("1.")}


def test_builds_are_static_and_ignore_a_workspace_above(tmp_path: Path) -> None:
    for product in PRODUCTS:
        for argv, _, environment in build.build_commands(product, tmp_path):
            assert environment["CGO_ENABLED"] == "0"
            assert environment["GOWORK"] == "off"
            assert "-trimpath" in argv
