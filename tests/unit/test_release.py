"""Releases: images by digest, and the small rules of their parts."""

import pytest
from pydantic import TypeAdapter, ValidationError

from slipway.release import ChangeRequest, Image, digest_of

IMAGE: TypeAdapter[str] = TypeAdapter(Image)
HEX = "a" * 64


@pytest.mark.parametrize(
    "image",
    [
        f"registry.teei.example/analytics@sha256:{HEX}",
        f"registry.teei.example/analytics:2.4.0@sha256:{HEX}",
        f"localhost:5000/teei/analytics:2.4.0-rc.1@sha256:{HEX}",
    ],
)
def test_an_image_names_its_digest(image: str) -> None:
    assert digest_of(IMAGE.validate_python(image)) == f"sha256:{HEX}"


@pytest.mark.parametrize(
    "image",
    [
        "registry.teei.example/analytics:2.4.0",
        "registry.teei.example/analytics:latest",
        f"registry.teei.example/analytics@sha256:{HEX[:-1]}",
        f"registry.teei.example/analytics@sha256:{HEX.upper()}",
        f"registry.teei.example/analytics@sha512:{HEX}",
        f"@sha256:{HEX}",
        f"registry.teei.example/analytics@sha256:{HEX}\n",
        f"registry.teei.example/analytics@sha256:{HEX} --privileged",
    ],
)
def test_anything_else_is_refused(image: str) -> None:
    with pytest.raises(ValidationError):
        IMAGE.validate_python(image)


def test_a_tag_alone_has_no_digest() -> None:
    assert digest_of("registry.teei.example/analytics:2.4.0") == ""


def test_a_change_request_is_a_number_or_a_reason() -> None:
    assert ChangeRequest(number="CHG-1").number == "CHG-1"
    with pytest.raises(ValidationError):
        ChangeRequest(number="CHG-1", not_required="standard")
    with pytest.raises(ValidationError):
        ChangeRequest()
