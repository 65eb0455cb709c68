"""Which settings a template names, and what became of them."""

from typing import Any

import pytest

from slipway.judgements import settings
from slipway.messages.record import Setting

TEMPLATE: dict[str, Any] = {
    "spec": {
        "imagePullSecrets": [{"name": "registry"}],
        "initContainers": [
            {"name": "wait", "env": [{"valueFrom": {"secretKeyRef": {"name": "init", "key": "k"}}}]}
        ],
        "containers": [
            {
                "name": "app",
                "envFrom": [
                    {"configMapRef": {"name": "all", "optional": True}},
                    {"secretRef": {"name": "all"}},
                ],
                "env": [
                    {"name": "A", "value": "plain"},
                    {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                    {"name": "C", "valueFrom": {"configMapKeyRef": {"name": "one", "key": "k"}}},
                ],
            }
        ],
        "volumes": [
            {"name": "x", "emptyDir": {}},
            {"name": "a", "configMap": {"name": "files"}},
            {"name": "b", "secret": {"secretName": "keys", "optional": True}},
            {"name": "c", "csi": {"driver": "d", "nodePublishSecretRef": {"name": "driver"}}},
            {
                "name": "d",
                "projected": {
                    "sources": [
                        {"configMap": {"name": "projected"}},
                        {"secret": {"name": "projected"}},
                        {"serviceAccountToken": {"path": "token"}},
                    ]
                },
            },
        ],
    }
}


def test_everything_that_pods_take_settings_from_is_named() -> None:
    maps = ["all", "files", "one", "projected"]
    secrets = ["all", "driver", "init", "keys", "projected", "registry"]
    assert settings.named(TEMPLATE) == [
        *((settings.CONFIG_MAP, name) for name in maps),
        *((settings.SECRET, name) for name in secrets),
    ]
    assert settings.named({"spec": {"containers": [{"name": "app"}]}}) == []
    assert settings.names_of(settings.CONFIG_MAP, [TEMPLATE, {}]) == maps


def found(uid: str = "u1", version: str = "1", **data: str) -> dict[str, Any]:
    return {"metadata": {"uid": uid, "resourceVersion": version}, "data": data}


def config(raw: dict[str, Any] | None) -> Setting:
    return settings.config_map("app", raw)


def secret(raw: dict[str, Any] | None) -> Setting:
    return settings.secret("app", raw)


@pytest.mark.parametrize(
    ("then", "now", "said"),
    [
        (config(found(a="1")), config(found(version="2", a="1")), ""),
        (config(found(a="1")), config(found(uid="u2", a="1")), ""),
        (config(found(a="1")), config(found(a="2")), "ConfigMap app holds other data since"),
        (config(found(a="1")), config(None), "ConfigMap app was deleted"),
        (config(None), config(found()), "ConfigMap app was created"),
        (config(None), config(None), ""),
        (secret(found()), secret(found()), ""),
        (secret(found()), secret(found(version="2")), "Secret app was written since"),
        (secret(found()), secret(found(uid="u2")), "Secret app was deleted and created anew"),
        (
            config(found()),
            settings.unread(settings.CONFIG_MAP, "app", "may not"),
            "cannot be compared (may not)",
        ),
    ],
)
def test_what_became_of_a_setting_is_told(then: Setting, now: Setting, said: str) -> None:
    phrases = settings.changes([then], [now])
    text = settings.told(phrases)
    if said:
        assert said in text
        assert "slipway does not write settings" in text
    else:
        assert text == ""


def test_what_was_never_read_is_named_as_not_compared() -> None:
    then = settings.unread(settings.SECRET, "app", "slipway may not get secrets app")
    assert settings.changes([then], [secret(found())]) == []
    said = settings.uncompared([then, config(found())])
    assert said == " Not compared with before: Secret app (slipway may not get secrets app)."
    assert settings.uncompared([config(found())]) == ""


def test_no_content_of_a_secret_is_kept() -> None:
    assert "hidden" not in secret(found(password="hidden")).model_dump_json()
