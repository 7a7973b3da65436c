"""SEG, SR and RTSTRUCT lie on the source images and hold what was found, in every orientation."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import highdicom
import numpy as np
import pytest
from dicom_results import GRIDS, Made, lesions, make, series
from outline_filling import filled
from pydicom import Dataset

CASES = [(name, "an image a slice") for name in GRIDS]
CASES += [("oblique", "one image"), ("axial from the head down", "two images")]


@pytest.fixture(scope="module", params=CASES, ids=", ".join)
def made(request, tmp_path_factory) -> Made:
    return make(tmp_path_factory.mktemp("made"), series(*request.param), lesions())


def places_of(made: Made) -> Iterator[tuple[Dataset, int, np.ndarray, np.ndarray]]:
    """Of each source slice its image, frame, first pixel in LPS mm, and the steps to the next column and row."""
    for image in made.images.values():
        for frame in range(int(image.get("NumberOfFrames") or 1)):
            place = image
            spacing, orientation = image.get("PixelSpacing"), image.get("ImageOrientationPatient")
            if "PerFrameFunctionalGroupsSequence" in image:
                [shared] = image.SharedFunctionalGroupsSequence
                spacing = shared.PixelMeasuresSequence[0].PixelSpacing
                orientation = shared.PlaneOrientationSequence[0].ImageOrientationPatient
                place = image.PerFrameFunctionalGroupsSequence[frame].PlanePositionSequence[0]
            directions = np.array(orientation, float).reshape(2, 3) * np.array(spacing, float)[::-1, None]
            yield image, frame + 1, np.array(place.ImagePositionPatient, float), directions


def source_of(made: Made, item: Dataset) -> tuple[int, np.ndarray, np.ndarray]:
    """Which slice of the volume an item refers to, where its first pixel lies and where its axes lead."""
    image = made.images[item.ReferencedSOPInstanceUID]
    assert item.ReferencedSOPClassUID == image.SOPClassUID
    frame = item.get("ReferencedFrameNumber", 1)
    places = list(places_of(made))
    [(_, _, position, directions)] = [one for one in places if one[0] is image and one[1] == frame]
    normal = np.cross(*directions)
    return sum(normal @ other < normal @ position - 0.1 for _, _, other, _ in places), position, directions


def test_each_frame_of_the_segmentation_is_its_lesion_on_the_frame_that_it_names(made: Made):
    seg = made.read("seg.dcm")
    seen = np.zeros_like(made.labels)
    for group, pixels in zip(seg.PerFrameFunctionalGroupsSequence, seg.pixel_array, strict=True):
        label = group.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        [item] = group.DerivationImageSequence[0].SourceImageSequence
        index, position, _ = source_of(made, item)
        np.testing.assert_array_equal(pixels, made.slice_of(index) == label)
        placed = np.array(group.PlanePositionSequence[0].ImagePositionPatient, float)
        np.testing.assert_allclose(placed, position, atol=1e-4)
        seen[:, :, index] += (label * pixels[::-1].T).astype(np.uint16)
    np.testing.assert_array_equal(seen, made.labels)


def test_highdicom_gives_the_mask_back_bit_for_bit(made: Made):
    seg = highdicom.seg.segread(made.folder / "seg.dcm")
    volume = seg.get_volume(combine_segments=True, rescale_fractional=False)
    shown = np.flatnonzero((made.labels > 0).any(axis=(0, 1)))
    kept = np.stack([made.slice_of(index) for index in range(shown[0], shown[-1] + 1)])
    back = np.asarray(volume.array)
    assert np.array_equal(back, kept) or np.array_equal(back[::-1], kept)


def test_every_roi_filled_again_is_its_lesion(made: Made):
    structures = made.read("rtstruct.dcm")
    names = [roi.ROIName for roi in structures.StructureSetROISequence]
    assert names == [f"Lesion {lesion.label}" for lesion in made.report.lesions]
    for roi in structures.ROIContourSequence:
        back = np.zeros(made.labels.shape, bool)
        for contour in roi.ContourSequence:
            assert contour.ContourGeometricType == "CLOSED_PLANAR"
            index, position, directions = source_of(made, contour.ContourImageSequence[0])
            points = np.array(contour.ContourData, float).reshape(-1, 3) - position
            assert np.abs(points @ np.cross(*directions)).max() < 0.01 * np.prod(
                np.linalg.norm(directions, axis=1)
            )
            column_and_row = points @ np.linalg.pinv(directions) + 0.5
            back[:, :, index] |= filled([column_and_row], made.labels.shape[:2])[:, ::-1]
        lesion = made.labels == roi.ReferencedROINumber
        assert 2 * (back & lesion).sum() / (back.sum() + lesion.sum()) >= 0.97


def test_the_report_tells_the_measures_and_refers_to_segments_and_images(made: Made):
    groups = highdicom.sr.srread(made.folder / "sr.dcm").content.get_volumetric_roi_measurement_groups()
    seg = made.read("seg.dcm")
    for group, lesion in zip(groups, made.report.lesions, strict=True):
        values = {one.name.meaning.lower(): one.value for one in group.get_measurements()}
        assert values["volume"] == pytest.approx(lesion.volume_mm3, abs=1e-3)
        assert values["long axis"] == pytest.approx(lesion.longest_diameter_mm, abs=1e-3)
        assert values["short axis"] == pytest.approx(lesion.perpendicular_diameter_mm, abs=1e-3)
        segment = seg.SegmentSequence[lesion.label - 1]
        assert (group.tracking_identifier, group.tracking_uid) == (segment.TrackingID, segment.TrackingUID)
        referenced = group.referenced_segment
        assert referenced.referenced_sop_instance_uid == seg.SOPInstanceUID
        assert referenced.referenced_segment_numbers == [lesion.label]
        items = referenced.source_images_for_segmentation
        shown = [source_of(made, one)[0] for item in items for one in by_frame(item)]
        assert shown == np.flatnonzero((made.labels == lesion.label).any(axis=(0, 1))).tolist()


def by_frame(item: Dataset) -> Iterator[Dataset]:
    """A reference to an image taken apart into one for each of its frames."""
    [reference] = item.ReferencedSOPSequence
    frames = reference.get("ReferencedFrameNumber") or [1]
    for frame in frames if isinstance(frames, Sequence) else [frames]:
        one = Dataset()
        one.update(reference)
        one.ReferencedFrameNumber = frame
        yield one


def test_an_object_made_twice_is_the_same_to_the_byte(tmp_path: Path):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    first, second = (make(tmp_path / name, series("axial"), lesions()) for name in ("first", "second"))
    for name in ("seg.dcm", "sr.dcm", "rtstruct.dcm"):
        assert (first.folder / name).read_bytes() == (second.folder / name).read_bytes(), name
