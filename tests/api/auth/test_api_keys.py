"""`metseg-api keys` and `metseg-api audit`, and the start that they decide."""

import json
import re
from pathlib import Path

import pytest

from metseg_api.__main__ import main
from metseg_api.auth.api_keys import KeyFile


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METSEG_KEYS", str(tmp_path / "keys.json"))
    monkeypatch.setenv("METSEG_STORE", str(tmp_path / "store"))


def test_a_key_is_made_shown_once_listed_and_revoked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["keys", "create", "anna"])
    made = capsys.readouterr()
    keys = KeyFile(tmp_path / "keys.json")
    key = keys.find(made.out.strip())
    assert key is not None
    assert set(key.scopes) == {"submit", "read"}
    assert "restart the API" in made.err
    main(["keys", "create", "chief", "--scope", "admin"])
    assert "restart the API" not in capsys.readouterr().err
    main(["keys", "list"])
    listed = capsys.readouterr().out
    assert made.out.strip() not in listed
    assert [line.split()[1:3] for line in listed.splitlines()] == [["anna", "submit,read"], ["chief", "admin"]]
    main(["keys", "revoke", key.id])
    main(["keys", "list"])
    assert "revoked" in capsys.readouterr().out.splitlines()[0]


def test_the_trail_is_exported_and_verified(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["keys", "create", "anna"])
    key_id = KeyFile(tmp_path / "keys.json").keys()[0].id
    main(["keys", "revoke", key_id])
    capsys.readouterr()
    main(["audit", "export"])
    entries = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["deed"]["action"], one["deed"]["subject"]) for one in entries] == [
        ("key_create", key_id),
        ("key_revoke", key_id),
    ]
    assert entries[1]["previous"] == entries[0]["sha256"]
    main(["audit", "verify"])
    head = f"2:{entries[1]['sha256']}"
    assert head in capsys.readouterr().out
    main(["audit", "verify", "--head", head])
    [first, _] = sorted((tmp_path / "store" / "audit").rglob("*.json"))
    first.write_text(first.read_text().replace("key_create", "delete"))
    with pytest.raises(SystemExit, match="audit trail"):
        main(["audit", "verify"])


def test_a_webhook_secret_is_made_for_its_owner_and_told_to_the_trail(
    capsys: pytest.CaptureFixture[str],
) -> None:
    main(["webhooks", "rotate", "anna"])
    made = capsys.readouterr()
    assert re.fullmatch(r"whsec_[A-Za-z0-9+/]{43}=\n", made.out)
    main(["webhooks", "list"])
    listed = capsys.readouterr().out
    assert listed.split()[0] == "anna"
    assert made.out.strip() not in listed
    main(["audit", "export"])
    deed = json.loads(capsys.readouterr().out)["deed"]
    assert (deed["action"], deed["owner"]) == ("webhook_secret", "anna")


@pytest.mark.parametrize(
    "arguments",
    [
        ["keys"],
        ["keys", "create"],
        ["keys", "create", "anna", "--scope", "all"],
        ["audit", "verify", "--head", "x"],
        ["webhooks"],
        ["webhooks", "rotate", "--overlap-h", "-1"],
    ],
)
def test_a_wrong_command_line_ends_with_its_usage(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_an_owner_that_is_no_plain_name_ends_with_one_line() -> None:
    with pytest.raises(SystemExit, match="small letters"):
        main(["keys", "create", "Anna Mustermann"])


def test_the_api_does_not_start_for_others_without_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METSEG_HOST", "0.0.0.0")
    with pytest.raises(SystemExit, match="METSEG_HOST.*keys create"):
        main([])
