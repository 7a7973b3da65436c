"""A volume from its file to all artefacts, the network left out: `python -m benchmarks.finish`.

240 × 240 × 155 voxels of 1 mm, as BraTS has them, with twenty lesions, as a NIfTI file and as a DICOM series, of
which a second process makes DICOM objects beside all else. A worker's own code reads, prepares, finishes, writes;
a rule stands in for the network, and its time is taken off. Beside it dcm2niix converts the series, and SimpleITK
resamples the volume to the same grid, read and written.
Processor time is told too, for a machine that is busy with other things: of all processes, and of those that one
waits for the other, which is what a quiet machine of two cores takes.
"""

import argparse
import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deploy.local.settings import ROOT
from metseg.imaging.nifti import write_nifti
from metseg.imaging.volume import Volume
from metseg.jobs.store import JobStore
from metseg.models.library import ModelLibrary
from metseg.schemas.job import InputFile, JobRecord, JobRequest, ModelRef, Stage, new_job_id
from metseg.schemas.model_card import CARD_PATH, ModelCard
from metseg.serving.client import ServingClient
from metseg.storage.open import open_blob_store
from metseg_worker.pipeline.predict import Patience
from metseg_worker.pipeline.process_job import Dependencies, make_files

SHAPE = (240, 240, 155)
LESIONS = 20
CARD = ROOT / "models" / "weights" / "attention_unet-1.card.json"
AIM_S, AIM_MIB = 6.0, 1536
RESAMPLE = """
import sys, time, SimpleITK as sitk
sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(2)
start = time.perf_counter()
image = sitk.ReadImage(sys.argv[1])
sitk.WriteImage(sitk.Resample(image, image, sitk.Transform(), sitk.sitkLinear), sys.argv[2], True)
print(time.perf_counter() - start)
"""


class Moment(NamedTuple):
    """The time by the clock, and the processor's of this process and of those that it has waited for."""

    clock_s: float
    own_s: float
    others_s: float


class BrightIsLesion(ServingClient):
    """The network's place; `spent_s` is the processor time that its rule took."""

    spent_s = 0.0

    def predict_many(
        self, model: str, version: int, batches: Iterable[NDArray[np.uint8]], *, in_flight: int = 1
    ) -> Iterator[NDArray[np.float32]]:
        """Answer each batch: the brighter, the surer."""
        del model, version, in_flight
        for batch in batches:
            start = time.thread_time()
            answer = np.square(batch[..., 1:2].astype(np.float32) / 255)
            self.spent_s += time.thread_time() - start
            yield answer


def main() -> int:
    """Make the volume, time everything in processes of their own, print a line for each; 1 beyond an aim."""
    parser = argparse.ArgumentParser("benchmarks.finish", description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="of each the fastest counts")
    parser.add_argument("--once", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.once is not None:
        sys.stdout.write(json.dumps(_timed(arguments.once)))
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_nifti(folder / "head.nii.gz", head())
        _write_series(folder / "series")
        bests = [_metseg(folder / name, arguments.runs) for name in ("head.nii.gz", "series")]
        if shutil.which("dcm2niix"):
            _tell("dcm2niix: convert", min(_dcm2niix(folder) for _ in range(arguments.runs)))
        _tell("SimpleITK: read, resample, write", min(_resample(folder) for _ in range(arguments.runs)))
    return int(any(best["seconds"] > AIM_S or best["mib"] > AIM_MIB for best in bests))


def head() -> Volume:
    """A noisy ellipsoid with bright balls of 4 to 20 mm in it."""
    rng = np.random.default_rng(5)
    affine = np.diag((-1.0, -1.0, 1.0, 1.0))
    x, y, z = (np.arange(count, dtype=np.float32) - (count - 1) / 2 for count in SHAPE)
    within = (x[:, None, None] / 75) ** 2 + (y[None, :, None] / 95) ** 2 + (z[None, None] / 72) ** 2 < 1
    grey = np.where(within, np.float32(400), np.float32(20)) + rng.normal(0, 15, SHAPE).astype(np.float32)
    for centre, radius in zip(rng.uniform(-45, 45, (LESIONS, 3)), rng.uniform(2, 10, LESIONS), strict=True):
        far = (x[:, None, None] - centre[0]) ** 2 + (y[None, :, None] - centre[1]) ** 2
        grey[far + (z[None, None] - centre[2]) ** 2 < radius**2] = 1400
    return Volume(np.clip(grey, 0, None).astype(np.int16), affine)


def _tell(what: str, seconds: float, more: str = "") -> None:
    sys.stdout.write(f"{what:40} {seconds:6.2f} s{more}\n")


def _metseg(source: Path, runs: int) -> dict[str, float]:
    """The fastest run on a file, or on the files of a folder."""
    best = min((_once(source) for _ in range(runs)), key=lambda one: one["seconds"])
    more = f", {best['processor_s']:.2f} s of processor ({best['critical_s']:.2f} s one after the other)"
    more += f", {best['mib']:.0f} MiB"
    _tell(f"metseg: {source.name} to {best['artefacts']:g} artefacts", best["seconds"], more)
    sys.stdout.write(f"  aim: at most {AIM_S:g} s and {AIM_MIB} MiB; {best['lesions']:g} lesions\n")
    return best


def _once(source: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.finish", "--once", str(source)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def _timed(source: Path) -> dict[str, float]:
    """One job in this process."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        card = ModelCard.read(CARD)
        card_file = folder / "models" / card.name / str(card.version) / CARD_PATH
        card_file.parent.mkdir(parents=True)
        card.write(card_file)
        store = JobStore(open_blob_store(str(folder / "store")))
        sources = sorted(source.iterdir()) if source.is_dir() else [source]
        record = _accepted(store, sources, ModelRef(name=card.name, version=card.version, digest=card.digest))
        serving = BrightIsLesion("127.0.0.1:1")
        means = Dependencies(store, ModelLibrary(folder / "models"), serving, "a rule", Patience(60))
        (folder / "work").mkdir()
        begun, after_reading = _moment(), list[Moment]()
        files = make_files(
            *(means, record, folder / "work"),
            check=lambda: None,
            on_progress=lambda stage, *_: after_reading.append(_moment()) if stage is Stage.PREPARE else None,
        )
        figures = _figures(begun, after_reading[0], _moment(), serving.spent_s)
        serving.close()
        report = next(path for path, _ in files if path.name == "report.json")
        lesions = json.loads(report.read_text())["lesion_count"]
    return figures | {"lesions": lesions, "artefacts": len(files)}


def _moment() -> Moment:
    own, waited_for = os.times()[:2], os.times()[2:4]
    return Moment(time.perf_counter(), sum(own), sum(waited_for))


def _figures(begun: Moment, after_reading: Moment, ended: Moment, rule_s: float) -> dict[str, float]:
    """Of one job; memory is the peak of this process and of the largest other, which may run at the same time."""
    reading_s = after_reading.own_s - begun.own_s + after_reading.others_s - begun.others_s
    own_s = ended.own_s - after_reading.own_s - rule_s
    others_s = ended.others_s - after_reading.others_s
    peaks = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return {
        "seconds": ended.clock_s - begun.clock_s - rule_s,
        "processor_s": reading_s + own_s + others_s,
        "critical_s": reading_s + max(own_s, others_s),
        "mib": sum(peaks) / 1024,
    }


def _accepted(store: JobStore, sources: list[Path], model: ModelRef) -> JobRecord:
    job_id = new_job_id()
    inputs = []
    for number, source in enumerate(sources):
        key, content = store.input_key(job_id, number), source.read_bytes()
        store.blobs.put(key, content)
        digest = hashlib.sha256(content).hexdigest()
        inputs.append(InputFile(key=key, size_bytes=len(content), sha256=digest))
    request = JobRequest(model=model.name)
    record = JobRecord(id=job_id, created_at=datetime.now(UTC), request=request, model=model, inputs=inputs)
    store.create(record)
    return record


def _dcm2niix(folder: Path) -> float:
    target = folder / "converted"
    target.mkdir(exist_ok=True)
    start = time.perf_counter()
    command = ["dcm2niix", "-z", "y", "-w", "1", "-o", str(target), str(folder / "series")]
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def _resample(folder: Path) -> float:
    command = [sys.executable, "-c", RESAMPLE, str(folder / "head.nii.gz"), str(folder / "resampled.nii.gz")]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _write_series(folder: Path) -> None:
    """The same voxels as a classic MR series (PS3.3, A.4)."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

    folder.mkdir()
    array = head().array
    study, series, frame = (generate_uid() for _ in range(3))
    for number in range(SHAPE[2]):
        image = Dataset()
        image.SOPClassUID, image.SOPInstanceUID = MRImageStorage, generate_uid()
        image.StudyInstanceUID, image.SeriesInstanceUID, image.FrameOfReferenceUID = study, series, frame
        image.Modality, image.Manufacturer, image.PatientID, image.PatientName = "MR", "metseg", "x", "x"
        image.SeriesNumber, image.InstanceNumber = 1, number + 1
        image.ImageType = ["ORIGINAL", "PRIMARY"]
        image.ImageOrientationPatient, image.PixelSpacing = [1, 0, 0, 0, 1, 0], [1, 1]
        image.ImagePositionPatient, image.SliceThickness = [-120, -120, number - 77], 1
        image.Rows, image.Columns, image.SamplesPerPixel = SHAPE[1], SHAPE[0], 1
        image.PhotometricInterpretation, image.PixelRepresentation = "MONOCHROME2", 0
        image.BitsAllocated, image.BitsStored, image.HighBit = 16, 16, 15
        image.PixelData = np.ascontiguousarray(array[:, :, number].T).astype("<u2").tobytes()
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.save_as(folder / f"{number:03}.dcm", enforce_file_format=True)


if __name__ == "__main__":
    sys.exit(main())
