"""Creates the backup bucket with versions and object lock: `create_bucket.py NAME`."""

import sys

import boto3


def main(name: str) -> None:
    """Create the bucket where it is missing; keys and address come from the environment."""
    s3 = boto3.client("s3")
    if name not in {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}:
        s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})


if __name__ == "__main__":
    main(sys.argv[1])
