"""Writes the measures as a structured report: TID 1500 (PS3.16), preliminary and unverified.

A group for each lesion refers to its segment and to the images that show it; a last one tells how many lesions
there are and their volume, so that a report without any says that none was found, and from what all of it comes.
"""

from typing import Final

from highdicom.sr import (
    AlgorithmIdentification,
    Comprehensive3DSR,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    ReferencedSegment,
    SourceImageForSegmentation,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from pydicom import Dataset, uid
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from metseg.schemas.report import Lesion
from metseg_worker.outputs.dicom.metadata import CATEGORY, FAMILY, MANUFACTURER, SERIES_NUMBERS, Marks
from metseg_worker.outputs.dicom.source_series import SourceSeries

PROCEDURE: Final = Code("113076", "DCM", "Segmentation")
COUNT: Final = codes.SCT.Quantity
MM3: Final = codes.UCUM.CubicMillimeter
MM: Final = codes.UCUM.Millimeter
LESIONS: Final = Code("{lesions}", "UCUM", "lesions")


def build_sr(source: SourceSeries, marks: Marks, seg: Dataset | None) -> Comprehensive3DSR:
    """The report of a job.

    Args:
        source: The series.
        marks: Of the job.
        seg: Its segmentation; None where no lesion was found.
    """
    groups = [] if seg is None else [_group(source, marks, seg, lesion) for lesion in marks.report.lesions]
    content = MeasurementReport(
        observation_context=ObservationContext(observer_device_context=_observer(marks)),
        procedure_reported=PROCEDURE,
        imaging_measurements=[*groups, _totals(marks)],
    )
    evidence = [_evidence(source, image.class_uid, image.instance_uid) for image in source.instances]
    report = Comprehensive3DSR(
        evidence=[*evidence, *([] if seg is None else [seg])],
        content=content,
        series_instance_uid=marks.uid("sr series"),
        series_number=SERIES_NUMBERS["sr"],
        sop_instance_uid=marks.uid("sr.dcm"),
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=True,
        is_final=False,
        is_verified=False,
        manufacturer_model_name=marks.report.model.name,
        software_versions=marks.software,
        device_serial_number=marks.report.model.digest,
        series_description=marks.describe("measures"),
        contributing_equipment=[marks.equipment],
        transfer_syntax_uid=uid.ExplicitVRLittleEndian,
    )
    marks.date_anew(report)
    return report


def _observer(marks: Marks) -> ObserverContext:
    return ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=DeviceObserverIdentifyingAttributes(
            uid=marks.uid("observer"),
            name=MANUFACTURER,
            manufacturer_name=MANUFACTURER,
            model_name=marks.report.model.name,
            serial_number=marks.report.model.digest,
        ),
    )


def _group(
    source: SourceSeries, marks: Marks, seg: Dataset, lesion: Lesion
) -> VolumetricROIMeasurementsAndQualitativeEvaluations:
    measures = [(codes.SCT.Volume, lesion.volume_mm3, MM3)]
    measures += [(codes.SCT.LongAxis, lesion.longest_diameter_mm, MM)]
    measures += [(codes.SCT.ShortAxis, lesion.perpendicular_diameter_mm, MM)]
    shown = (source.labels.array == lesion.label).any(axis=(0, 1)).nonzero()[0]
    return VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(marks.lesion_uid(lesion.label), marks.lesion_name(lesion.label)),
        referenced_segment=ReferencedSegment(
            sop_class_uid=seg.SOPClassUID,
            sop_instance_uid=seg.SOPInstanceUID,
            segment_number=lesion.label,
            source_images=_images_of(source, [int(index) for index in shown]),
        ),
        finding_type=marks.finding,
        finding_category=CATEGORY,
        finding_sites=[FindingSite(codes.SCT.Brain)],
        algorithm_id=AlgorithmIdentification(marks.report.model.name, marks.version),
        measurements=[
            Measurement(name=name, value=round(value, 4), unit=unit)
            for name, value, unit in measures
            if value is not None
        ],
    )


def _images_of(source: SourceSeries, slices: list[int]) -> list[SourceImageForSegmentation]:
    """The images that have some of the slices, each once with its frames."""
    frames: dict[tuple[str, str], list[int]] = {}
    for image in (source.images[index] for index in slices):
        kept = frames.setdefault((image.class_uid, image.instance_uid), [])
        if image.frame is not None:
            kept.append(image.frame)
    return [SourceImageForSegmentation(*image, numbers or None) for image, numbers in frames.items()]


def _totals(marks: Marks) -> MeasurementsAndQualitativeEvaluations:
    count = Measurement(name=COUNT, value=marks.report.lesion_count, unit=LESIONS)
    volume = Measurement(name=codes.SCT.Volume, value=round(marks.report.total_volume_mm3 or 0.0, 4), unit=MM3)
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(marks.uid("all lesions"), "All lesions"),
        finding_type=marks.finding,
        finding_category=CATEGORY,
        finding_sites=[FindingSite(codes.SCT.Brain)],
        algorithm_id=_algorithm(marks),
        measurements=[count, volume],
    )


def _algorithm(marks: Marks) -> AlgorithmIdentification:
    return AlgorithmIdentification(
        name=marks.report.model.name,
        version=marks.version,
        parameters=[f"{name}: {value}" for name, value in marks.parameters.items()],
        family=FAMILY,
        manufacturer=MANUFACTURER,
    )


def _evidence(source: SourceSeries, class_uid: str, instance_uid: str) -> Dataset:
    image = Dataset()
    image.update(source.identity)
    image.SOPClassUID, image.SOPInstanceUID, image.SeriesInstanceUID = class_uid, instance_uid, source.series_uid
    image.Modality = "MR"
    return image
