"""Writes outlines of lesions as an RT structure set: closed planar contours, one ROI a lesion (PS3.3, A.19)."""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, FileMetaDataset, uid
from scipy import ndimage

from metseg_worker.outputs.dicom.contours import outlines
from metseg_worker.outputs.dicom.geometry import lps_mm
from metseg_worker.outputs.dicom.metadata import MANUFACTURER, SERIES_NUMBERS, Marks
from metseg_worker.outputs.dicom.source_series import SourceSeries, referring

LABEL: Final = "metseg lesions"
COLORS: Final = ((255, 0, 0), (255, 160, 0), (255, 255, 0), (0, 255, 0), (0, 255, 255), (255, 0, 255))
"""Taken in turn."""
STUDY_COMPONENT: Final = "1.2.840.10008.3.1.2.3.1"
"""Detached Study Management, retired; the structure set still asks for a class of the study (PS3.3, C.8.8.5)."""


def build_rtstruct(source: SourceSeries, marks: Marks) -> Dataset:
    """The structure set of one lesion or more; ROI n is lesion n."""
    made = _general(source, marks)
    made.ReferencedFrameOfReferenceSequence = [_frame_of_reference(source)]
    labels = [lesion.label for lesion in marks.report.lesions]
    made.StructureSetROISequence = [_roi(source, marks, label) for label in labels]
    boxes = ndimage.find_objects(source.labels.array)
    made.ROIContourSequence = [_contours_item(source, label, boxes[label - 1]) for label in labels]
    made.RTROIObservationsSequence = [_observation(marks, label) for label in labels]
    return made


def _general(source: SourceSeries, marks: Marks) -> Dataset:
    """Patient, Study, Series, Equipment, Structure Set, Approval and SOP Common."""
    made = Dataset()
    made.update(source.identity)
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    made.SOPClassUID, made.SOPInstanceUID = uid.RTStructureSetStorage, marks.uid("rtstruct.dcm")
    made.InstanceCreationDate, made.InstanceCreationTime = marks.date, marks.time
    made.Modality, made.SeriesInstanceUID = "RTSTRUCT", marks.uid("rtstruct series")
    made.SeriesNumber, made.SeriesDescription = SERIES_NUMBERS["rtstruct"], marks.describe("outlines")
    made.OperatorsName, made.InstanceNumber = None, 1
    made.Manufacturer, made.ManufacturerModelName = MANUFACTURER, marks.report.model.name
    made.SoftwareVersions, made.DeviceSerialNumber = marks.software, marks.report.model.digest
    made.ContributingEquipmentSequence = [marks.equipment]
    made.FrameOfReferenceUID, made.PositionReferenceIndicator = source.frame_of_reference_uid, None
    made.StructureSetLabel, made.StructureSetDescription = LABEL, marks.report.research_use
    made.StructureSetDate, made.StructureSetTime = marks.date, marks.time
    made.ApprovalStatus = "UNAPPROVED"
    return made


def _frame_of_reference(source: SourceSeries) -> Dataset:
    series, study, frame = Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID = source.series_uid
    series.ContourImageSequence = [referring(image) for image in source.instances]
    study.ReferencedSOPClassUID = STUDY_COMPONENT
    study.ReferencedSOPInstanceUID = source.identity.StudyInstanceUID
    study.RTReferencedSeriesSequence = [series]
    frame.FrameOfReferenceUID = source.frame_of_reference_uid
    frame.RTReferencedStudySequence = [study]
    return frame


def _roi(source: SourceSeries, marks: Marks, label: int) -> Dataset:
    roi = Dataset()
    roi.ROINumber, roi.ROIName = label, marks.lesion_name(label)
    roi.ReferencedFrameOfReferenceUID = source.frame_of_reference_uid
    roi.ROIGenerationAlgorithm = "AUTOMATIC"
    roi.ROIDerivationAlgorithmIdentificationSequence = marks.algorithm
    return roi


def _contours_item(source: SourceSeries, label: int, box: tuple[slice, ...]) -> Dataset:
    item = Dataset()
    item.ROIDisplayColor = list(COLORS[(label - 1) % len(COLORS)])
    item.ReferencedROINumber = label
    item.ContourSequence = list(_contours(source, label, box))
    return item


def _contours(source: SourceSeries, label: int, box: tuple[slice, ...]) -> Iterator[Dataset]:
    lesion = source.labels.array[box] == label
    columns, rows, slices = (side.start for side in box)
    for index in range(lesion.shape[2]):
        for outline in outlines(lesion[:, :, index]):
            contour = Dataset()
            contour.ContourImageSequence = [referring(source.images[slices + index])]
            contour.ContourGeometricType = "CLOSED_PLANAR"
            contour.NumberOfContourPoints = len(outline)
            corners = outline + (columns, rows) - 0.5  # corners count from a pixel's side, voxels from its centre
            contour.ContourData = _points(source, corners, slices + index)
            yield contour


def _points(source: SourceSeries, corners: NDArray[np.float64], index: int) -> list[str]:
    """Corners as x, y, z in turn, to a micrometre."""
    ijk = np.column_stack((corners, np.full(len(corners), index)))
    return [f"{value:.3f}" for value in lps_mm(source.labels, ijk).ravel()]


def _observation(marks: Marks, label: int) -> Dataset:
    seen = Dataset()
    seen.ObservationNumber = seen.ReferencedROINumber = label
    seen.ROIObservationLabel = marks.lesion_name(label)
    seen.RTROIInterpretedType = None  # no target volume: that is for those who plan a treatment to say
    seen.ROIInterpreter = None
    return seen
