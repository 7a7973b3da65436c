"""Opens the store that a setting names."""

from pathlib import Path

from metseg.storage.blob_store import BlobStore


def open_blob_store(place: str, *, make: bool = True) -> BlobStore:
    """Open a store by its place.

    Args:
        place: A folder, or a URL such as `s3://bucket/prefix` or `memory://`.
        make: Whether a folder that is missing is made; else it is away until it is back.

    Raises:
        StoreUnavailableError: the folder cannot be made or the URL cannot be used.
    """
    if "://" in place:
        from metseg.storage.object_store import ObjectStore  # the extra `s3` is loaded only where it is asked for

        return ObjectStore(place)
    from metseg.storage.local import LocalStore

    return LocalStore(Path(place), make=make)
