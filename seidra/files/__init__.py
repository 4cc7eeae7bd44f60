"""The store of files. `open_files` is its door; who has it does not see which one it is."""

from __future__ import annotations

from seidra.config import Settings
from seidra.files.base import Files
from seidra.files.local import LocalFiles


def open_files(settings: Settings) -> Files:
    """The store of an instance: the bucket of SEIDRA_MEDIA_URL, else folders of this computer.
    Raises StartError where its client is not installed."""
    if settings.media_url is None:
        return LocalFiles(settings)
    # Loads a client that only a bucket needs.
    from seidra.files.s3 import BucketFiles

    return BucketFiles(settings)
