"""Opens DICOM files, also those whose file header (PS3.10, section 7.1) is missing or incomplete.

Old archives write the data set without preamble or file meta information, and some programs write meta information
without the SOP class or the transfer syntax. The data set itself tells what is missing, but for compressed pixels.
"""

from collections.abc import Sequence
from pathlib import Path

from pydicom import Dataset, dcmread, uid
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag, Tag

from metseg_worker.readers.dicom.prefix import META_GROUP, PREFIX, PREFIX_AT


def read_file_meta(path: Path) -> Dataset:
    """Read the elements of group 0002, as many as there are."""
    with path.open("rb") as file:
        if file.read(PREFIX_AT + len(PREFIX))[PREFIX_AT:] != PREFIX:
            file.seek(0)
        return read_dataset(file, is_implicit_VR=False, is_little_endian=True, stop_when=_is_past_meta)


def read_elements(path: Path, tags: Sequence[str | int], *, with_pixels: bool = False) -> Dataset:
    """Read some elements of the data set.

    Args:
        path: A DICOM file that is not deflated: pydicom would unpack all of it first.
        tags: Keywords or numbers of the elements wanted.
        with_pixels: Read on to the pixels, which may be among the tags.
    """
    return dcmread(
        path, force=True, stop_before_pixels=not with_pixels, specific_tags=[BaseTag(Tag(tag)) for tag in tags]
    )


def transfer_syntax_of(path: Path) -> uid.UID:
    """Return how a file is encoded; where its header does not say, the uncompressed syntax of its data set."""
    named = read_file_meta(path).get("TransferSyntaxUID")
    if isinstance(named, uid.UID) and named:
        return named
    is_implicit, is_little_endian = read_elements(path, ["SOPClassUID"]).original_encoding
    if is_implicit:
        return uid.ImplicitVRLittleEndian
    return uid.ExplicitVRLittleEndian if is_little_endian else uid.ExplicitVRBigEndian


def _is_past_meta(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return tag.group != META_GROUP
