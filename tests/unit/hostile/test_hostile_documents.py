"""Documents made to hurt: each is refused with one clear error, none crashes or hangs."""

from pathlib import Path

import pytest

from slipway.errors import BadInput
from starter.loading import MAX_BYTES, load_plan, load_release
from starter.yaml_reader import MAX_DEPTH, read_yaml

LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(9)
)
DOCUMENTS: dict[str, bytes] = {
    "nothing": b"",
    "a byte order mark": b"\xef\xbb\xbf",
    "utf-16": "version: 1".encode("utf-16"),
    "latin-1": "title: blåbær".encode("latin-1"),
    "nul": b"version: 1\x00",
    "control characters": b"version: \x07",
    "escape sequence": b"version: \x1b[2J",
    "lone surrogate": b'environment: "\\ud800"',
    "50,000 brackets": b"[" * 50_000,
    "50,000 braces": b"{" * 50_000,
    "brackets by lines": b"- [\n" * 5_000,
    "deep mapping": b"\n".join(b" " * n + b"a:" for n in range(900)),
    "deep sequence": b"- " * 4_000,
    "complex keys": b"? " * 4_000,
    "a list as key": b"[1, 2]: 3",
    "a mapping as key": b"{a: 1}: 2",
    "laughs": LAUGHS.encode(),
    "an alias to itself": b"a: &a [*a]",
    "an anchor alone": b"environment: &e teei",
    "an unknown alias": b"environment: *nobody",
    "merge": b"services: []\n<<: {version: 1}",
    "merge of a list": b"<<: [{a: 1}, {b: 2}]",
    "python object": b"!!python/object/apply:os.system ['true']",
    "python name": b"a: !!python/name:os.system",
    "python module": b"a: !!python/module:os",
    "binary": b"a: !!binary aGVsbG8=",
    "set": b"a: !!set {x, y}",
    "ordered map": b"a: !!omap [x: 1]",
    "local tag": b"a: !include /etc/passwd",
    "tag directive": b"%TAG ! tag:x,2000:\n---\n!a b",
    "equal keys": b"version: 1\nversion: 1",
    "equal keys below": b"staging: {soak: 24h, soak: 1s}",
    "quoted twin": b'version: 1\n"version": 1',
    "two documents": b"version: 1\n---\nversion: 1",
    "a document in a document": b"a: |\n  x\n---\n{}",
    "tabs": b"a:\n\t- b",
    "no": b"environment: no",
    "on as key value": b"window: off",
    "sexagesimal": b"window: {start: 22:30}",
    "octal": b"version: 010",
    "hexadecimal": b"version: 0x10",
    "infinity": b"time_scale: .inf",
    "not a number": b"time_scale: .nan",
    "underscores": b"version: 1_0",
    "huge number": b"time_scale: 1e400",
    "huge integer": b"time_scale: " + b"9" * 39,
    "a list": b"- version: 1",
    "a text": b"version",
    "a number": b"1",
    "null": b"null",
    "unknown keys": b"".join(b"key%d: 1\n" % n for n in range(5_000)),
    "too many values": b"".join(b"k%d: [1, 1, 1]\n" % n for n in range(15_000)),
    "too many lines": b"\n" * 30_000,
    "a long line": b"# " + b"x" * 20_000,
    "too large": b"#" * 79 + b"\n" + b"# x\n" * (MAX_BYTES // 4),
    "unfinished quote": b'environment: "' + b"x" * 9_000,
    "unfinished flow": b"services: [" + b"1," * 4_000,
    "only colons": b"a:" * 4_000,
    "only exclamation marks": b"!" * 9_000,
    "only ampersands": b"& " * 4_000,
    "directives": b"%YAML 1.1\n" * 500,
    "future version": b"%YAML 9.9\n---\nversion: 1",
    "prototype": b"__proto__: {}\n__class__: {}",
    "dotted key": b"staging.soak: 1s",
    "empty key": b'"": 1',
    "long key": b'"' + b"k" * 900 + b'": 1',
}


@pytest.mark.parametrize("name", DOCUMENTS)
@pytest.mark.parametrize("load", [load_plan, load_release])
def test_hostile_documents_are_refused(tmp_path: Path, name: str, load: object) -> None:
    path = tmp_path / "document.yaml"
    path.write_bytes(DOCUMENTS[name])
    with pytest.raises(BadInput) as caught:
        (load_plan if load is load_plan else load_release)(path)
    told = str(caught.value)
    assert told.startswith(str(path))
    assert len(told) < 3_000
    assert "\x1b" not in told
    assert "Traceback" not in told


@pytest.mark.parametrize("name", DOCUMENTS)
def test_hostile_overlays_are_refused(tmp_path: Path, name: str) -> None:
    overlay = tmp_path / "overlay.yaml"
    overlay.write_bytes(DOCUMENTS[name])
    plan = Path(__file__).resolve().parents[3] / "plans" / "teei-production.yaml"
    with pytest.raises(BadInput):
        load_plan(plan, overlay)


def test_there_are_enough_of_them() -> None:
    assert len(DOCUMENTS) >= 50


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("0", 0),
        ("-17", -17),
        ("0.5", 0.5),
        ("1e3", 1000.0),
        ('"no"', "no"),
        ("'22:30'", "22:30"),
        ("2026-11-23", "2026-11-23"),
        ("2026-11-23T20:00:00Z", "2026-11-23T20:00:00Z"),
        ("30s", "30s"),
        ("1.2.3", "1.2.3"),
        ("0" * 64 + "a", "0" * 64 + "a"),
        ("9" * 64, "9" * 64),
        ("|-\n  line", "line"),
    ],
)
def test_plain_values_mean_what_they_look_like(text: str, value: object) -> None:
    assert read_yaml(f"a: {text}\n", "here").data == {"a": value}


def test_nesting_up_to_the_limit_is_read() -> None:
    depth = MAX_DEPTH - 1
    read_yaml("a: " + "[" * depth + "]" * depth, "here")
    with pytest.raises(BadInput, match="deeper"):
        read_yaml("a: " + "[" * (depth + 1) + "]" * (depth + 1), "here")
