"""The page tells who the ensemble is and how far its models disagree."""

from pathlib import Path

import pytest
from fake_api import FakeApi
from phantoms import card
from results import volume_result
from streamlit.testing.v1 import AppTest

from metseg.models.ensemble import ensemble_card, ensemble_ref, version_of
from metseg.schemas.report import Report
from metseg_client import MetsegClient, ServedModel
from metseg_ui.text import plain

CARDS = [card(), card(name="unet_plus_plus", version=3, weights_sha256="1" * 64)]
MEMBERS = [version_of(one) for one in CARDS]


def form(served: "ServedModel") -> None:  # the text alone is run, so no name of this module is known there
    """What AppTest runs."""
    from metseg_ui.submit.model_card import show_model

    show_model(served)


def page(client: "MetsegClient") -> None:
    """What AppTest runs."""
    from metseg_ui.page import show

    show(client)


def told(app: AppTest) -> str:
    assert not app.exception
    return "\n".join(str(element.value) for element in (*app.markdown, *app.subheader))


def test_the_form_names_members_versions_and_digests() -> None:
    served = ServedModel(card=ensemble_card(CARDS), served=True, members=MEMBERS)
    text = told(AppTest.from_function(form, kwargs={"served": served}, default_timeout=30).run())
    assert "Ensemble of all models" in text
    assert plain(f"Attention U-Net (version 1, {MEMBERS[0].digest[:12]})") in text
    assert plain(f"U-Net++ (version 3, {MEMBERS[1].digest[:12]})") in text


@pytest.mark.parametrize("is_ensemble", [True, False])
def test_a_result_of_the_ensemble_alone_has_a_column_of_disagreement_and_names_the_members(
    tmp_path: Path, is_ensemble: bool
) -> None:
    files = volume_result(tmp_path).files
    media_type, content = files["report.json"]
    report = Report.model_validate_json(content)
    if is_ensemble:
        apart = {"member_probabilities": [0.9, 0.66], "disagreement": 0.24}
        lesions = [lesion.model_copy(update=apart) for lesion in report.lesions]
        report = report.model_copy(update={"model": ensemble_ref(MEMBERS), "lesions": lesions})
    api = FakeApi(CARDS, files | {"report.json": (media_type, report.model_dump_json().encode())})
    client = MetsegClient("http://api", transport=api.transport())
    app = AppTest.from_function(page, kwargs={"client": client}, default_timeout=60)
    app.query_params["job"] = api.add_job()
    text, table = told(app.run()), app.dataframe[0].value
    assert ("Mean of" in text) == is_ensemble
    assert ("Disagreement" in table.columns) == is_ensemble
    if is_ensemble:
        assert list(table["Disagreement"]) == [0.24] * len(report.lesions)
        assert plain(f"U-Net++ (version 3, {MEMBERS[1].digest[:12]})") in text
