"""Puts a result into `report.json`."""

import json
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final

from metseg.imaging.scan import Scan
from metseg.inference.segment import Segmentation
from metseg.response.rano_bm import assess
from metseg.schemas.job import InputFile, JobRecord
from metseg.schemas.model_card import ModelCard
from metseg.schemas.report import InputDigest, MemberProvenance, Provenance, Report, SourceInfo
from metseg.storage.checksums import sha256_of_all
from metseg_worker.anatomy.lesion_location import placed
from metseg_worker.anatomy.neck import NOTICE, Anatomy
from metseg_worker.outputs.dicom.sandboxed import MOST_LESIONS

SOFTWARE: Final = ("metseg", "metseg-worker", "numpy", "scipy", "nibabel", "pillow", "connected-components-3d")
MOST_INPUTS: Final = 4
"""Files that every artefact names one by one; of more, as of a series, `report.json` alone does."""
THICK_SLICE_MM: Final = 3.0
"""Thicker slices get a warning that small lesions may be missed; RANO-BM allows 5 mm."""


@dataclass(frozen=True)
class AskedModel:
    """The model of a job.

    Attributes:
        card: Its card.
        device: What the model server is said to run on.
        members: Cards of the members, where it is the ensemble.
    """

    card: ModelCard
    device: str
    members: Sequence[ModelCard] = ()


def build_report(
    record: JobRecord, asked: AskedModel, scan: Scan, segmentation: Segmentation, anatomy: Anatomy | None
) -> Report:
    """All that the job has to say.

    Args:
        record: The job.
        asked: The model.
        scan: As it was read.
        segmentation: What was found.
        anatomy: What the scan shows; None for a picture.
    """
    card = asked.card
    volume, places = scan.volume, placed(scan, segmentation, anatomy)
    volumes = [lesion.volume_mm3 for lesion in segmentation.lesions if lesion.volume_mm3 is not None]
    return Report(
        job_id=record.id,
        created_at=record.created_at,
        model=record.model,
        trained_on=card.trained_on,
        disease_notice=card.disease_notice,
        threshold=segmentation.threshold,
        source=SourceInfo(
            kind=scan.kind.value,
            shape=volume.shape,
            spacing_mm=volume.spacing_mm if scan.has_spacing else None,
            orientation=volume.orientation,
        ),
        lesion_count=len(segmentation.lesions),
        total_volume_mm3=None if scan.is_picture else float(sum(volumes)),
        lesions=places.lesions,
        rano_bm=assess(segmentation.lesions, volume, is_picture=scan.is_picture),
        head=places.head,
        warnings=[*warnings_of(card), *warnings_for(scan, segmentation), *neck_notices(anatomy)],
        software={name: version(name) for name in SOFTWARE} | {"python": platform.python_version()},
        provenance=Provenance(
            inputs=_digests(record.inputs),
            previous_inputs=_digests(record.previous_inputs) or None,
            weights_sha256=card.weights_sha256,
            preprocessing=card.preprocessing,
            device=asked.device,
            processor=platform.machine(),
            members=[_member(one) for one in asked.members] or None,
        ),
    )


def _member(card: ModelCard) -> MemberProvenance:
    return MemberProvenance(weights_sha256=card.weights_sha256, preprocessing=card.preprocessing)


def note_of(report: Report) -> str:
    """What a single artefact says of its origin: one line of JSON, in ASCII."""
    note: dict[str, Any] = {
        "job": report.job_id,
        "model": report.model.model_dump(exclude_defaults=True),
        "threshold": report.threshold,
        "software": {name: report.software[name] for name in ("metseg", "metseg-worker")},
        "research_use": report.research_use,
    }
    if report.provenance is not None:
        note |= report.provenance.model_dump(exclude_none=True)
        note["inputs"] = _in_short(report.provenance.inputs)
        if report.provenance.previous_inputs is not None:
            note["previous_inputs"] = _in_short(report.provenance.previous_inputs)
    return json.dumps(note, sort_keys=True, separators=(",", ":"))


def _in_short(inputs: Sequence[InputDigest]) -> Any:
    """The digests of some files; of a whole series its number of files and one digest for all."""
    if len(inputs) <= MOST_INPUTS:
        return [one.model_dump() for one in inputs]
    return {"files": len(inputs), "sha256_of_sha256": sha256_of_all(one.sha256 for one in inputs)}


def warnings_of(card: ModelCard) -> list[str]:
    """Sentences on what the model has never seen."""
    if card.knows_metastases:
        return []
    return [f"{card.disease_notice} What it marks, and what it leaves out, says nothing certain of metastases."]


def warnings_for(scan: Scan, segmentation: Segmentation) -> list[str]:
    """Sentences on what a reader should know before trusting the figures."""
    warnings = list(scan.warnings)
    if scan.is_picture:
        warnings.append(
            "A picture does not say where left is: it is shown as it came, taken to be in radiological display."
        )
        if not scan.has_spacing:
            warnings.append("The picture has no known pixel size: sizes are given in pixels.")
    elif max(scan.volume.spacing_mm) > THICK_SLICE_MM:
        warnings.append(
            f"Voxels are {max(scan.volume.spacing_mm):.1f} mm long on one side: small lesions may be missed "
            "and volumes are rough."
        )
    if segmentation.coarsened:
        warnings.append("The head is larger than the network's window and was seen at a coarser resolution.")
    if scan.slices and len(segmentation.lesions) > MOST_LESIONS:
        warnings.append(
            f"More than {MOST_LESIONS} lesions were marked, so no DICOM objects were made of the result."
        )
    if any(lesion.touches_border for lesion in segmentation.lesions):
        warnings.append("A lesion reaches the border of the image and may be larger than measured.")
    return warnings


def neck_notices(anatomy: Anatomy | None) -> list[str]:
    """A sentence where the scan shows more than the head."""
    return [] if anatomy is None or anatomy.below_brain is None else [NOTICE]


def _digests(files: Iterable[InputFile]) -> list[InputDigest]:
    return [InputDigest(size_bytes=one.size_bytes, sha256=one.sha256) for one in files]
