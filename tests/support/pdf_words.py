"""The words on the pages of a document that the worker wrote."""

import re
import zlib


def words_of(document: bytes) -> list[str]:
    """Of each page, in the order in which they are drawn."""
    streams = re.findall(rb"stream\n(.*?)\nendstream", document, re.DOTALL)
    unpacked = [zlib.decompress(one) for one in streams if one.startswith(b"x")]
    written = [one for one in unpacked if b" Tj" in one]  # the others are pictures
    texts = [re.findall(rb"\((.*?)(?<!\\)\) Tj", one, re.DOTALL) for one in written]
    return [b" ".join(one).decode("latin-1").replace("\\", "") for one in texts if one]
