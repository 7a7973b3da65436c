"""The published schemas are those of the code."""

import json

from deploy.local.schemas import FOLDER, published


def test_what_is_published_is_what_the_code_says():
    for name, text in published().items():
        assert (FOLDER / name).read_text(encoding="utf-8") == text, f"run `make schemas`: {name} is not current"
    assert {path.name for path in FOLDER.iterdir()} == set(published())


def test_a_schema_tells_its_version_and_what_a_field_means():
    report = json.loads(published()["report-1.json"])
    assert report["$id"] == "urn:metseg:schema:report:1"
    assert report["properties"]["schema_version"]["const"] == 1
    assert report["$defs"]["Lesion"]["additionalProperties"] is False
    assert {"label", "voxels", "mean_probability"} <= set(report["$defs"]["Lesion"]["required"])
