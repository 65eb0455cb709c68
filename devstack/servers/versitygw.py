"""The S3 server: versitygw over a folder, with the backup bucket."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from devstack.layout import Layout
from devstack.process import Spec
from devstack.servers.server import Server, http_missing

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

NAME = "versitygw"
BUCKET = "teei-backups"
REGION = "us-east-1"


def server(layout: Layout, program: Path) -> Server:
    """The object store of the stack."""
    return Server(
        name=NAME,
        port=layout.ports["s3"],
        prepare=lambda: _prepare(layout, program),
        # Without a signature every answer is a refusal: it serves.
        missing=lambda: http_missing(layout.url("s3"), accept=frozenset({200, 400, 403})),
        set_up=lambda: _create_bucket(layout),
    )


def client(layout: Layout) -> S3Client:
    """A client with the stack's own keys."""
    return boto3.client(
        "s3",
        endpoint_url=layout.url("s3"),
        aws_access_key_id=layout.secrets["s3-access-key"],
        aws_secret_access_key=layout.secrets["s3-secret-key"],
        region_name=REGION,
        config=Config(retries={"max_attempts": 5, "mode": "standard"}, proxies={}),
    )


def _prepare(layout: Layout, program: Path) -> Spec:
    data = layout.data(NAME)
    objects, old_versions, sidecar = (data / name for name in ("objects", "versions", "sidecar"))
    for folder in (objects, old_versions):
        folder.mkdir(exist_ok=True)
    posix = ["posix", "--versioning-dir", str(old_versions)]
    if not _has_user_attributes(objects):
        sidecar.mkdir(exist_ok=True)
        posix += ["--sidecar", str(sidecar)]
    return Spec(
        NAME,
        (str(program), "--port", layout.address("s3"), "--quiet", *posix, str(objects)),
        env={
            "ROOT_ACCESS_KEY": layout.secrets["s3-access-key"],
            "ROOT_SECRET_KEY": layout.secrets["s3-secret-key"],
        },
    )


def _has_user_attributes(folder: Path) -> bool:
    """Whether the file system keeps extended attributes (some tmpfs do not)."""
    if not hasattr(os, "setxattr"):
        return True
    try:
        os.setxattr(folder, "user.slipway", b"1")
    except OSError:
        return False
    return True


def _create_bucket(layout: Layout) -> None:
    """Versioned and lockable: a backup, once written, is not overwritten or deleted."""
    s3 = client(layout)
    try:
        s3.create_bucket(Bucket=BUCKET, ObjectLockEnabledForBucket=True)
    except ClientError as error:
        if error.response["Error"]["Code"] not in {
            "BucketAlreadyOwnedByYou",
            "BucketAlreadyExists",
        }:
            raise
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
