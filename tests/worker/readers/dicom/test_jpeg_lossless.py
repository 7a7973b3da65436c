"""JPEG lossless is read where its decoder is installed, which metseg does not bring, and else refused by name."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from dicom_series import classic, noise_volume, write
from jpeg_lossless import as_jpeg_lossless

from metseg.errors import CompressionError
from metseg_worker.readers.open import ReadOptions, open_scan

DECODER = Path(sys.prefix) / "jpeg_lossless"
"""`deploy/local/system_parts.sh jpeg_lossless` puts the decoder here, beside the packages of the project."""
READ = """
import sys
from pathlib import Path
import numpy as np
from metseg_worker.readers.open import ReadOptions, open_scan
source, out = map(Path, sys.argv[1:])
np.save(out, open_scan(sorted(source.iterdir()), out.parent / "unpacked", ReadOptions()).volume.array)
"""


def write_packed(folder: Path) -> list[Path]:
    return write([as_jpeg_lossless(image) for image in classic(noise_volume())], folder)


def test_without_its_decoder_it_is_refused_by_name(tmp_path: Path):
    if find_spec("libjpeg") is not None:
        pytest.skip("the decoder of JPEG lossless is installed here")
    with pytest.raises(CompressionError, match=r"JPEG Lossless.*its decoder is not installed"):
        open_scan(write_packed(tmp_path / "in"), tmp_path / "unpacked", ReadOptions())


def test_with_its_decoder_it_gives_the_same_values(tmp_path: Path):
    if not DECODER.is_dir() and find_spec("libjpeg") is None:
        pytest.skip("the decoder of JPEG lossless is not here")
    write_packed(tmp_path / "in")
    command = [sys.executable, "-c", READ, tmp_path / "in", tmp_path / "out.npy"]
    environment = os.environ | {"PYTHONPATH": str(DECODER)}
    subprocess.run(command, env=environment, check=True, timeout=120)
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), noise_volume().array)
