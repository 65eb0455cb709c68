"""Whether nodes run the image that was approved, by the digest they report (`imageID`)."""

from collections.abc import Iterable

from slipway.judgements.pods import Trouble
from slipway.judgements.workload import Raw, container_of, name_of
from slipway.release import digest_of

Told = dict[str, str]
"""`imageID` by pod."""


def told(pods: Iterable[Raw], container: str) -> Told:
    """Return what the nodes say that a container of these pods runs; silent ones are left out."""
    return {
        name_of(pod): str(one["imageID"])
        for pod in pods
        for one in (pod.get("status") or {}).get("containerStatuses") or []
        if one.get("name") == container and one.get("imageID")
    }


def reports_digests(image: str, ids: Iterable[str]) -> bool | None:
    """Whether nodes report an image under the digest it is pinned to; some report that of their
    platform's manifest. None: there is nothing to tell by."""
    wanted, found = digest_of(image), [digest_of(one) for one in ids]
    if not wanted or not found:
        return None
    return all(one == wanted for one in found)


def wrong_images(image: str, container: str, ids: Told, other: str = "") -> list[Trouble]:
    """Return the pods whose node reports another digest than the image is pinned to. That of the
    `other` version tells nothing: where both lead to one image, containerd reports either."""
    wanted = digest_of(image)
    return [
        Trouble(
            "wrong-image",
            pod,
            container,
            f"container {container} of pod {pod} runs {found[:200]}, not the approved {wanted}.",
        )
        for pod, found in sorted(ids.items())
        if wanted and digest_of(found) not in ("", wanted, digest_of(other))
    ]


def swapped_images(image: str, container: str, pods: Iterable[Raw]) -> list[Trouble]:
    """Return the pods that were given another image than the template's, by its digest: an
    admission webhook writes it into the pod alone."""
    wanted = digest_of(image)
    given = {
        name_of(pod): str((container_of(pod, container) or {}).get("image", "")) for pod in pods
    }
    return [
        Trouble(
            "wrong-image",
            pod,
            container,
            f"container {container} of pod {pod} was given {found[:200]}, not the approved "
            f"{wanted}.",
        )
        for pod, found in sorted(given.items())
        if wanted and found and digest_of(found) != wanted
    ]


def unjudged(image: str, ids: Told, *, comparable: bool | None, other: str = "") -> str:
    """Return why it could not be judged which image runs; the empty text when it could."""
    if not digest_of(image):
        return f"{image} names no digest"
    if comparable is False:
        return "the nodes reported another digest for the pinned image before, too"
    found = {digest_of(one) for one in ids.values()} - {""}
    if not found:
        return "the nodes report no digest"
    if comparable and found - {digest_of(image)}:
        return f"a node reports {other[:200]}, the other version: the two may be one image"
    if comparable is None and found != {digest_of(image)}:
        return "the nodes report another digest, and no pinned image before tells if they always do"
    return ""
