import numpy as np
import pytest
from phantoms import affine_of, bright_is_lesion, card, centred, head_with_ball

from metseg.imaging.scan import Scan, ScanKind
from metseg.inference.segment import Network, segment, segment_by_mean
from metseg.models.ensemble import ensemble_card, ensemble_ref, version_of
from metseg.models.library import ModelLibrary
from metseg.schemas.job import Stage
from metseg.schemas.model_card import CARD_PATH, Intensity, Preprocessing, TrainingData

OTHER = Preprocessing(size=128, spacing_mm=2.0, intensity=Intensity(low=0, high=100))


def head():
    shape = (60, 60, 40)
    affine = centred(affine_of(("L", "P", "S"), (3.0, 3.0, 4.0)), shape, np.zeros(3))
    return Scan(head_with_ball(shape, affine, np.array([20.0, 10, 5]), 12, 70), ScanKind.NIFTI)


def says(value):
    """A network that gives everything bright one probability."""

    def predict(batches):
        for batch in batches:
            yield (batch[..., 1:2] > 200).astype(np.float32) * np.float32(value)

    return predict


def cards(count=3):
    names = ("attention_unet", "unet_plus_plus", "inception_v3_segmenter")[:count]
    return [card(name=name, weights_sha256=f"{number:064x}") for number, name in enumerate(names)]


def test_the_mean_of_equal_networks_is_what_one_of_them_finds():
    members = [Network(one, bright_is_lesion) for one in cards()]
    together = segment_by_mean(head(), ensemble_card(cards()), members)
    alone = segment(head(), card(), bright_is_lesion)
    np.testing.assert_allclose(together.probability.array, alone.probability.array, atol=1e-6)
    np.testing.assert_array_equal(together.labels.array, alone.labels.array)
    assert [lesion.disagreement for lesion in together.lesions] == [pytest.approx(0, abs=1e-6)]
    assert [lesion.disagreement for lesion in alone.lesions] == [None]


def test_probabilities_are_averaged_and_the_disagreement_is_the_range_of_the_members_means():
    said = (0.9, 0.2, 0.7)
    members = [Network(one, says(value)) for one, value in zip(cards(), said, strict=True)]
    found = segment_by_mean(head(), ensemble_card(cards()), members)
    assert found.probability.array.max() == pytest.approx(np.mean(said))
    [lesion] = found.lesions
    assert lesion.mean_probability == pytest.approx(np.mean(lesion.member_probabilities), abs=1e-6)
    inside = lesion.mean_probability / np.mean(said)  # less at the rim, which is half bright
    assert lesion.member_probabilities == pytest.approx([inside * value for value in said], abs=1e-6)
    assert lesion.disagreement == pytest.approx(inside * 0.7, abs=1e-6)


def test_each_lesion_has_the_disagreement_about_itself():
    scan = head()
    array = scan.volume.array.copy()
    array[42:48, 28:34, 18:22] = array.max()
    scan = Scan(scan.volume.with_array(array), ScanKind.NIFTI)

    def right_half(batches):
        for batch in batches:
            answer = (batch[..., 1:2] > 200).astype(np.float32)
            answer[:, :128] = 0
            yield answer

    members = [Network(one, predict) for one, predict in zip(cards(2), (says(1.0), right_half), strict=True)]
    found = segment_by_mean(scan, ensemble_card(cards(2)), members, threshold=0.4)
    by_side = {lesion.centroid_ras_mm[0] > 0: lesion for lesion in found.lesions}
    assert by_side[True].disagreement < 0.01
    seen, unseen = by_side[False].member_probabilities
    assert (seen > 0.5, unseen, by_side[False].disagreement) == (True, 0, seen)


def test_a_member_with_a_preprocessing_of_its_own_sees_the_scan_prepared_by_it():
    sizes = []

    def looking(batches):
        for batch in batches:
            sizes.append(batch.shape[1])
            yield (batch[..., 1:2] > 200).astype(np.float32)

    own = [*cards(2), card(name="coarse", preprocessing=OTHER)]
    found = segment_by_mean(head(), ensemble_card(own), [Network(one, looking) for one in own])
    assert sorted(set(sizes)) == [128, 256]
    assert sizes.count(256) == 2 * sizes.count(128)
    [lesion] = found.lesions
    assert lesion.disagreement < 0.1
    assert not found.coarsened


def test_progress_counts_the_slices_of_all_members_together():
    told = []
    members = [Network(one, bright_is_lesion) for one in cards()]
    segment_by_mean(head(), ensemble_card(cards()), members, on_progress=lambda *step: told.append(step))
    alone = []
    segment(head(), card(), bright_is_lesion, on_progress=lambda *step: alone.append(step))
    done = [done for stage, done, _ in told if stage is Stage.PREDICT]
    assert done == sorted(done)
    assert done[-1] == told[-1][2] == 3 * alone[-1][2]
    assert [stage for stage, _, _ in told] == sorted((stage for stage, _, _ in told), key=list(Stage).index)


def test_the_ensembles_card_has_the_mean_point_of_its_members_and_no_scores():
    one = card(threshold=0.4, min_lesion_mm3=4, min_lesion_px=3, limits=["a", "b"])
    other = card(name="unet_plus_plus", threshold=0.55, min_lesion_mm3=8, min_lesion_px=6, limits=["b", "c"])
    together = ensemble_card([one, other])
    assert (together.threshold, together.min_lesion_mm3, together.min_lesion_px) == (0.475, 6.0, 4)
    assert (together.parameters, together.gflop_per_slice) == (2, 2)
    assert together.limits[0].startswith("The mean of attention_unet 1, unet_plus_plus 1. How good it is was not")
    assert together.limits[1:] == ["a", "b", "c"]
    assert together.scores == together.operating_points == []


def test_the_ensemble_says_every_disease_that_its_members_were_trained_on():
    def trained_on(disease):
        return TrainingData(name=disease, licence="x", attribution="x", cases=1, disease=disease)

    one, other = card(training_data=[trained_on("glioma")]), card(training_data=[trained_on("meningioma")])
    assert ensemble_card([one, other, one]).disease_notice == "Trained on: glioma, meningioma (not metastases)."


def test_the_ensembles_digest_follows_from_what_decides_its_members_results():
    one, other = cards(2)
    digest = ensemble_ref([version_of(one), version_of(other)]).digest
    assert digest == ensemble_ref([version_of(one), version_of(other)]).digest
    changed = other.model_copy(update={"threshold": 0.6})
    assert digest != ensemble_ref([version_of(one), version_of(changed)]).digest
    assert digest != ensemble_ref([version_of(other), version_of(one)]).digest


def test_a_folder_named_as_the_ensemble_is_no_model(tmp_path):
    for name in ("attention_unet", "ensemble"):
        path = tmp_path / name / "1" / CARD_PATH
        path.parent.mkdir(parents=True)
        card(name=name).write(path)
    assert ModelLibrary(tmp_path).names() == ["attention_unet"]
