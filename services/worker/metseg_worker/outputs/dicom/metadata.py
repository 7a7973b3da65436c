"""How the DICOM objects of a job are named, dated and signed, the same each time they are made."""

import json
from dataclasses import dataclass
from datetime import UTC
from functools import cached_property
from typing import Final
from uuid import UUID, uuid5

from highdicom import AlgorithmIdentificationSequence, ContributingEquipment
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from metseg.schemas.report import Report
from metseg.storage.checksums import sha256_of_all

MANUFACTURER: Final = "metseg"
FAMILY: Final = codes.DCM.ArtificialIntelligence
CATEGORY: Final = codes.SCT.MorphologicallyAbnormalStructure
METASTASIS: Final[Code] = codes.SCT.NeoplasmSecondary
LESION: Final[Code] = codes.SCT.Lesion
"""CID 7159; for what a model marks that has not learnt metastases."""
PROCESSING: Final = Code("109102", "DCM", "Processing Equipment")
SERIES_NUMBERS: Final = {"seg": 9001, "sr": 9002, "rtstruct": 9003}
"""Far above those that scanners give."""


@dataclass(frozen=True, eq=False)
class Marks:
    """What every object of a job says of its making.

    Attributes:
        report: Of the job.
        finds_metastases: Whether the model has learnt metastases.
    """

    report: Report
    finds_metastases: bool

    def uid(self, name: str) -> str:
        """A UID of this job (PS3.5, B.2): another for each name, the same each time."""
        return f"2.25.{uuid5(UUID(self.report.job_id), name).int}"

    def lesion_name(self, label: int) -> str:
        """What a lesion is called in every object; its number is that of the report."""
        return f"Lesion {label}"

    def lesion_uid(self, label: int) -> str:
        """What tracks a lesion from object to object."""
        return self.uid(f"lesion {label}")

    @property
    def date(self) -> str:
        """The day on which the job was accepted, in UTC."""
        return f"{self.report.created_at.astimezone(UTC):%Y%m%d}"

    @property
    def time(self) -> str:
        """The second at which the job was accepted, in UTC."""
        return f"{self.report.created_at.astimezone(UTC):%H%M%S}"

    @property
    def moment(self) -> str:
        """Both, with their offset from UTC."""
        return f"{self.date}{self.time}+0000"

    @property
    def finding(self) -> Code:
        """What the lesions are."""
        return METASTASIS if self.finds_metastases else LESION

    @property
    def version(self) -> str:
        """Of the model."""
        return str(self.report.model.version)

    @property
    def software(self) -> str:
        """Versions of what measured and wrote."""
        return ", ".join(f"{name} {self.report.software[name]}" for name in ("metseg", "metseg-worker"))

    @cached_property
    def parameters(self) -> dict[str, str]:
        """Where the result comes from; more than one input is told as the digest of their digests."""
        told = {
            "job": self.report.job_id,
            "model_sha256": self.report.model.digest,
            "threshold": f"{self.report.threshold:g}",
        }
        members = [f"{one.name} {one.version} {one.digest}" for one in self.report.model.members]
        if members:
            told["members"] = ", ".join(members)
        made = self.report.provenance
        if made is not None:
            digests = [one.sha256 for one in made.inputs]
            told |= {
                "weights_sha256": made.weights_sha256,
                "preprocessing": json.dumps(made.preprocessing.model_dump(mode="json", exclude_none=True)),
                "inputs": str(len(digests)),
                "inputs_sha256": digests[0] if len(digests) == 1 else sha256_of_all(digests),
                "device": made.device,
                "processor": made.processor,
            }
        return told

    @cached_property
    def algorithm(self) -> AlgorithmIdentificationSequence:
        """The model, with `parameters`."""
        return AlgorithmIdentificationSequence(
            name=self.report.model.name,
            family=FAMILY,
            version=self.version,
            source=MANUFACTURER,
            parameters=self.parameters,
        )

    @cached_property
    def equipment(self) -> ContributingEquipment:
        """This software, with the statement on its use."""
        return ContributingEquipment(
            manufacturer=MANUFACTURER,
            purpose_of_reference=PROCESSING,
            manufacturer_model_name=self.report.model.name,
            software_versions=self.software,
            device_serial_number=self.report.model.digest,
            contribution_datetime=self.moment,
            contribution_description=self.report.research_use,
        )

    def describe(self, kind: str) -> str:
        """A series description."""
        return f"metseg {kind}, research use only"

    def date_anew(self, dataset: Dataset) -> None:
        """Put the job's time in place of every present one."""
        for name in ("InstanceCreation", "Content", "Series"):
            if f"{name}Date" in dataset:
                setattr(dataset, f"{name}Date", self.date)
                setattr(dataset, f"{name}Time", self.time)
        for equipment in dataset.get("ContributingEquipmentSequence", ()):  # highdicom names itself, too
            equipment.ContributionDateTime = self.moment
