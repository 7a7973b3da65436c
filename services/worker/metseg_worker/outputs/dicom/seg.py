"""Writes lesions as a DICOM segmentation: binary, one segment a lesion, on the frames of the source (PS3.3, A.51).

highdicom takes images of one frame, or one image of many. A series may also be several of many, so it is given a
stand-in for each slice, of the same geometry, and the real images are named in the result.
"""

from collections.abc import Iterable
from typing import Final

import numpy as np
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentationTypeValues, SegmentDescription
from pydicom import Dataset, uid
from pydicom.sr.codedict import codes

from metseg_worker.outputs.dicom.geometry import place_of
from metseg_worker.outputs.dicom.metadata import CATEGORY, MANUFACTURER, SERIES_NUMBERS, Marks
from metseg_worker.outputs.dicom.source_series import SourceSeries, referring

LABEL: Final = "LESIONS"


def build_seg(source: SourceSeries, marks: Marks) -> Segmentation:
    """The segmentation of one lesion or more: segment n is lesion n, and frames without it are left out."""
    seg = Segmentation(
        source_images=[_stand_in(source, index) for index in range(len(source.images))],
        pixel_array=np.ascontiguousarray(source.labels.array[:, ::-1, :].T),
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=[_segment(marks, lesion.label) for lesion in marks.report.lesions],
        series_instance_uid=marks.uid("seg series"),
        series_number=SERIES_NUMBERS["seg"],
        sop_instance_uid=marks.uid("seg.dcm"),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=marks.report.model.name,
        software_versions=marks.software,
        device_serial_number=marks.report.model.digest,
        content_label=LABEL,
        content_description=marks.report.research_use,
        series_description=marks.describe("lesions"),
        contributing_equipment=[marks.equipment],
    )
    _name_images(seg, source)
    for item in (*seg.DimensionOrganizationSequence, *seg.DimensionIndexSequence):
        item.DimensionOrganizationUID = marks.uid("seg dimensions")
    marks.date_anew(seg)
    return seg


def _segment(marks: Marks, label: int) -> SegmentDescription:
    return SegmentDescription(
        segment_number=label,
        segment_label=marks.lesion_name(label),
        segmented_property_category=CATEGORY,
        segmented_property_type=marks.finding,
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=marks.algorithm,
        tracking_uid=marks.lesion_uid(label),
        tracking_id=marks.lesion_name(label),
        anatomic_regions=[codes.SCT.Brain],
    )


def _stand_in(source: SourceSeries, index: int) -> Dataset:
    """A classic image of a slice, without pixels; its number stands at the end of its UID."""
    image = Dataset()
    image.update(source.identity)
    place = place_of(source.labels, index)
    image.SOPClassUID, image.SOPInstanceUID = uid.MRImageStorage, f"2.25.{index + 1}"
    image.Modality, image.SeriesInstanceUID = "MR", source.series_uid
    image.FrameOfReferenceUID = source.frame_of_reference_uid
    image.Columns, image.Rows = source.labels.shape[:2]
    image.ImagePositionPatient, image.ImageOrientationPatient = place.position_mm, place.orientation
    image.PixelSpacing, image.SliceThickness = place.pixel_spacing_mm, place.slice_spacing_mm
    image.LossyImageCompression = "01" if source.is_lossy else "00"
    return image


def _name_images(seg: Dataset, source: SourceSeries) -> None:
    """Put the images in the place of their stand-ins."""
    for item in _source_items(seg):
        index = int(item.ReferencedSOPInstanceUID.rpartition(".")[2]) - 1
        item.update(referring(source.images[index]))
    instances = [referring(image) for image in source.instances]
    seg.SourceImageSequence = instances
    [series] = seg.ReferencedSeriesSequence
    series.ReferencedInstanceSequence = instances


def _source_items(seg: Dataset) -> Iterable[Dataset]:
    """What refers to a stand-in, each once: segments share the items of a slice."""
    items: dict[int, Dataset] = {}
    for group in seg.PerFrameFunctionalGroupsSequence:
        for derivation in group.DerivationImageSequence:
            items |= {id(item): item for item in derivation.SourceImageSequence}
    return items.values()
