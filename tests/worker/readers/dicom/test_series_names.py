"""What a header says that a series shows, for names that four vendors' scanners write."""

from collections.abc import Mapping

import pytest

from benchmarks.inputs.series_names import NamedSeries, header_of, kind_of, read_names, read_unseen
from metseg_worker.readers.dicom.headers import TEXTS
from metseg_worker.readers.dicom.weighting import Weighting, has_agent, is_reformat, weighting_of

NAMES = read_names()
IR_GRADIENT = {"RepetitionTime": 2300.0, "EchoTime": 2.9, "InversionTime": 900.0}
SPIN_T2 = {"RepetitionTime": 5000.0, "EchoTime": 95.0}
SPIN_T1 = {"RepetitionTime": 600.0, "EchoTime": 12.0}


def header(**texts: str) -> Mapping[str, str]:
    return dict.fromkeys(TEXTS, "") | texts


def test_the_table_has_every_vendor_and_enough_names():
    assert len({one.name for one in NAMES}) >= 60
    kinds = {one.kind for one in NAMES}
    assert {"T1 with agent", "T1 without agent", "T1", "T1 reformat", "other"} == kinds


@pytest.mark.parametrize("series", NAMES, ids=lambda series: series.name)
def test_a_series_is_taken_for_what_it_is_by_its_header(series: NamedSeries):
    assert kind_of(series.texts, series.times_ms) == series.kind


@pytest.mark.parametrize("series", NAMES, ids=lambda series: series.name)
def test_a_series_is_taken_for_what_it_is_by_its_name_alone(series: NamedSeries):
    assert kind_of(series.name_alone, {}) == series.kind


def test_hardly_an_unseen_name_is_taken_for_another_weighting():
    taken = [(weighting, weighting_of(header_of(name), {})) for weighting, name in read_unseen()]
    wrong = [one for one in taken if one[1] not in (one[0], Weighting.UNKNOWN)]
    unknown = [one for one in taken if one[1] is Weighting.UNKNOWN]
    assert (len(wrong), len(unknown) <= 0.15 * len(taken)) == (0, True)


def test_a_siemens_mprage_is_no_reformat_but_its_reformat_is():
    original = header(SeriesDescription="t1 mpr sag p2 iso")
    assert weighting_of(original, {}) is Weighting.T1
    assert not is_reformat(original)
    assert is_reformat(header(SeriesDescription="t1 mpr sag p2 iso mpr cor"))
    assert is_reformat(original | {"ImageType": "derived secondary mpr"})


@pytest.mark.parametrize(
    ("description", "texts", "times_ms", "weighting"),
    [
        ("t1 tse", {"ScanningSequence": "se"}, SPIN_T2, Weighting.OTHER),
        ("t2 tse", {"ScanningSequence": "se"}, SPIN_T1, Weighting.T1),
        ("t1 mprage", {"ScanningSequence": "ep"}, IR_GRADIENT, Weighting.OTHER),
        ("brain", {"ScanningSequence": "gr ir"}, IR_GRADIENT, Weighting.T1),
        ("t1", {"ScanningSequence": "gr ir", "ImageType": "derived primary adc"}, IR_GRADIENT, Weighting.OTHER),
        ("t1 mprage sub", {"ScanningSequence": "gr ir"}, IR_GRADIENT, Weighting.OTHER),
        ("brain", {"EchoPulseSequence": "spin"}, SPIN_T1, Weighting.T1),
        ("t1", {"EchoPlanarPulseSequence": "yes"}, {}, Weighting.OTHER),
        ("t2", {"AcquisitionContrast": "t1"}, {}, Weighting.T1),
        ("t1", {"AcquisitionContrast": "diffusion"}, {}, Weighting.OTHER),
        ("brain", {}, {}, Weighting.UNKNOWN),
    ],
)  # fmt: skip
def test_sequence_type_times_and_image_type_decide_before_words(description, texts, times_ms, weighting):
    assert weighting_of(header(SeriesDescription=description, **texts), times_ms) is weighting


@pytest.mark.parametrize(
    ("texts", "given"),
    [
        ({"ContrastBolusAgent": "0.1 mmol/kg gadobutrol"}, True),
        ({"ContrastBolusAgent": "none", "SeriesDescription": "t1 post"}, False),
        ({"SeriesDescription": "t1 postop"}, None),
        ({"SeriesDescription": "t1 posterior fossa"}, None),
        ({"SeriesDescription": "t1 no fs"}, None),
        ({"SeriesDescription": "t1 without fat sat"}, None),
        ({"SeriesDescription": "t1 w/o contrast"}, False),
        ({"SeriesDescription": "t1 senza mdc"}, False),
        ({"SeriesDescription": "t1 con mdc"}, True),
        ({"SeriesDescription": "t1 sag", "ProtocolName": "t1 post-c"}, True),
        ({"SeriesDescription": "t1 press"}, None),
    ],
)
def test_an_agent_is_told_by_attribute_and_words(texts, given):
    assert has_agent(header(**texts)) is given
