"""ConfigMaps and Secrets that a pod template names: which they are, and what became of them.

A template that was put back starts pods on the settings of now, not on those of then. slipway never
writes settings; it says which are not the same any more. A Secret's content is never read.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from typing import Any

from slipway.judgements.workload import Raw, metadata
from slipway.messages.record import Setting, SettingKind

CONFIG_MAP: SettingKind = "ConfigMap"
SECRET: SettingKind = "Secret"  # noqa: S105 - the name of a kind
_Names = Iterator[tuple[SettingKind, Any]]


def named(template: Raw) -> list[tuple[SettingKind, str]]:
    """Return kind and name of everything that the template's pods take settings from: variables,
    volumes, and what pulls their images. Optional ones too: their absence counts."""
    spec = template.get("spec") or {}
    containers = [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]
    pulls = ((SECRET, one.get("name")) for one in spec.get("imagePullSecrets") or [])
    found = {
        *(one for container in containers for one in _of_variables(container)),
        *(one for volume in spec.get("volumes") or [] for one in _of_volume(volume)),
        *pulls,
    }
    return sorted((kind, name) for kind, name in found if name)


def config_map(name: str, found: Raw | None) -> Setting:
    """Return a ConfigMap's version. None: there is none of that name."""
    if found is None:
        return Setting(kind=CONFIG_MAP, name=name)
    data = {key: found.get(key) or {} for key in ("data", "binaryData")}
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(text.encode()).hexdigest()
    return _version(CONFIG_MAP, name, found).model_copy(update={"data_sha256": digest})


def secret(name: str, found: Raw | None) -> Setting:
    """Return a Secret's version, of its metadata. None: there is none of that name."""
    return Setting(kind=SECRET, name=name) if found is None else _version(SECRET, name, found)


def unread(kind: SettingKind, name: str, because: str) -> Setting:
    """Return a setting that could not be read, and why."""
    return Setting(kind=kind, name=name, unread=because)


def changes(then: Iterable[Setting], now: Iterable[Setting]) -> list[str]:
    """Return a phrase for each setting that is not what it was, or could not be compared."""
    current = {(one.kind, one.name): one for one in now}
    found = (_change(old, current.get((old.kind, old.name))) for old in then)
    return [one for one in found if one]


def told(phrases: list[str]) -> str:
    """Return what people are told of changes, and what to do; the empty text for none."""
    if not phrases:
        return ""
    return (
        f" Its settings, though: {'; '.join(phrases)}. slipway does not write settings: compare "
        "them with what the old version needs, put them back, then restart its pods."
    )


def uncompared(then: Iterable[Setting]) -> str:
    """Return which settings nobody can compare, since they could not be read, and why."""
    missing = [one for one in then if one.unread]
    if not missing:
        return ""
    names = ", ".join(f"{one.kind} {one.name}" for one in missing)
    return f" Not compared with before: {names} ({missing[0].unread})."


def _change(old: Setting, new: Setting | None) -> str:
    what = f"{old.kind} {old.name}"
    if old.unread or new is None:
        return ""
    if new.unread:
        return f"{what} cannot be compared ({new.unread})"
    if bool(old.uid) != bool(new.uid):
        return f"{what} was {'deleted' if old.uid else 'created'} since the capture"
    if old.data_sha256 or new.data_sha256:
        return f"{what} holds other data since" if old.data_sha256 != new.data_sha256 else ""
    if (old.uid, old.version) == (new.uid, new.version):
        return ""
    how = "written" if old.uid == new.uid else "deleted and created anew"
    return f"{what} was {how} since the capture"


def _version(kind: SettingKind, name: str, found: Raw) -> Setting:
    uid, version = metadata(found).get("uid"), metadata(found).get("resourceVersion")
    return Setting(kind=kind, name=name, uid=str(uid or ""), version=str(version or ""))


def _of_variables(container: Raw) -> _Names:
    for one in container.get("envFrom") or []:
        yield CONFIG_MAP, (one.get("configMapRef") or {}).get("name")
        yield SECRET, (one.get("secretRef") or {}).get("name")
    for one in container.get("env") or []:
        source = one.get("valueFrom") or {}
        yield CONFIG_MAP, (source.get("configMapKeyRef") or {}).get("name")
        yield SECRET, (source.get("secretKeyRef") or {}).get("name")


def _of_volume(volume: Raw) -> _Names:
    yield CONFIG_MAP, (volume.get("configMap") or {}).get("name")
    yield SECRET, (volume.get("secret") or {}).get("secretName")
    yield SECRET, ((volume.get("csi") or {}).get("nodePublishSecretRef") or {}).get("name")
    for one in (volume.get("projected") or {}).get("sources") or []:
        yield CONFIG_MAP, (one.get("configMap") or {}).get("name")
        yield SECRET, (one.get("secret") or {}).get("name")


def names_of(kind: SettingKind, templates: Iterable[Raw]) -> list[str]:
    """Return the names of one kind that any of these templates takes settings from."""
    return sorted({name for one in templates for found, name in named(one) if found == kind})
