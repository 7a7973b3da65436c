"""The commands of `metseg-api` beside serving: API keys, webhooks' secrets, rollouts and the audit trail."""

import argparse
import json
import re
import sys
from collections.abc import Sequence
from datetime import timedelta

from metseg.errors import SettingsError
from metseg.storage.open import open_blob_store
from metseg_api.auth.api_keys import KeyFile, Scope
from metseg_api.auth.audit_log import Action, AuditEvent, AuditTrail, Head
from metseg_api.auth.oidc import owner_of
from metseg_api.rollout import cli as rollout
from metseg_api.settings import ApiSettings
from metseg_api.webhooks.secrets import OVERLAP, SecretBook

MOST_OVERLAP_H = 30 * 24

_HEAD = re.compile(r"(\d{1,12}):([0-9a-f]{64})")


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """What was asked on the command line; `run` is the command, None where the API is to be served."""
    parser = argparse.ArgumentParser(prog="metseg-api", description="Serve the job API, or see to who may use it.")
    parser.set_defaults(run=None)
    things = parser.add_subparsers(metavar="{serve,keys,webhooks,owner,models,audit}")
    things.add_parser("serve", help="serve the API until told to stop (so it does without a command)")
    keys = things.add_parser("keys", help="make, list and revoke API keys").add_subparsers(required=True)
    create = keys.add_parser("create", help="make a key and show it, this once")
    create.add_argument("owner", help="whose jobs it sends and sees: small letters, digits and ._-")
    create.add_argument(
        "--scope",
        dest="scopes",
        action="append",
        choices=[scope.value for scope in Scope],
        help="what it is good for; may come several times (default: submit and read)",
    )
    create.set_defaults(run=_create_key)
    keys.add_parser("list", help="list all keys, without their secrets").set_defaults(run=_list_keys)
    revoke = keys.add_parser("revoke", help="end a key, at once")
    revoke.add_argument("id", help="its id, as listed")
    revoke.set_defaults(run=_revoke_key)
    _add_webhooks(things.add_parser("webhooks", help="make and list the secrets that webhooks are signed with"))
    owner = things.add_parser("owner", help="tell the owner that a subject of the issuer of tokens is here")
    owner.add_argument("subject", help="the `sub` of its tokens")
    owner.set_defaults(run=_tell_owner)
    rollout.add_commands(things.add_parser("models", help="promote a version, go back, list versions, add models"))
    audit = things.add_parser("audit", help="read and check the audit trail").add_subparsers(required=True)
    audit.add_parser("export", help="write all entries as JSON lines").set_defaults(run=_export_audit)
    verify = audit.add_parser("verify", help="check that no entry was changed, removed or inserted")
    verify.add_argument("--head", type=_head, help="a head that was noted earlier: NUMBER:SHA256")
    verify.set_defaults(run=_verify_audit)
    return parser.parse_args(arguments)


def _add_webhooks(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(required=True)
    rotate = commands.add_parser("rotate", help="make an owner's new secret and show it, this once")
    rotate.add_argument(
        "owner", nargs="?", help="whose jobs' webhooks it signs (none: where there are no API keys)"
    )
    rotate.add_argument(
        "--overlap-h",
        type=_hours,
        default=OVERLAP,
        help="hours for which the secrets before it sign along (default: 24; 0 where one has leaked)",
    )
    rotate.set_defaults(run=_rotate_secret)
    commands.add_parser("list", help="list owners and dates, never a secret").set_defaults(run=_list_secrets)


def _create_key(settings: ApiSettings, given: argparse.Namespace) -> None:
    keys = KeyFile(settings.keys)
    is_first = not keys.keys()
    key, shown = keys.create(given.owner, map(Scope, given.scopes or (Scope.SUBMIT, Scope.READ)))
    _tell_audit(settings, Action.KEY_CREATE, key.id)
    sys.stdout.write(f"{shown}\n")
    sys.stderr.write(f"Key {key.id} of {key.owner}. It is shown this once; only its digest is kept.\n")
    if is_first:
        sys.stderr.write("This is the first key: restart the API, and every request must authenticate.\n")


def _list_keys(settings: ApiSettings, _given: argparse.Namespace) -> None:
    for key in KeyFile(settings.keys).keys():
        state = f"revoked {key.revoked_at:%Y-%m-%d}" if key.revoked_at else "counts"
        scopes = ",".join(key.scopes)
        sys.stdout.write(f"{key.id}  {key.owner:24}  {scopes:18}  made {key.created_at:%Y-%m-%d}  {state}\n")


def _revoke_key(settings: ApiSettings, given: argparse.Namespace) -> None:
    key = KeyFile(settings.keys).revoke(given.id)
    _tell_audit(settings, Action.KEY_REVOKE, key.id)
    sys.stderr.write(f"Key {key.id} of {key.owner} is refused from now on.\n")


def _rotate_secret(settings: ApiSettings, given: argparse.Namespace) -> None:
    blobs = open_blob_store(settings.store)
    AuditTrail(blobs).append(AuditEvent(action=Action.WEBHOOK_SECRET, owner=given.owner))
    made = SecretBook(blobs).rotate(given.owner, given.overlap_h)
    sys.stdout.write(f"{made.shown}\n")
    sys.stderr.write("It signs from now on; no command shows it again.\n")


def _list_secrets(settings: ApiSettings, _given: argparse.Namespace) -> None:
    for kept in SecretBook(open_blob_store(settings.store)).all_signing():
        made = f"made {kept.secret.created_at:%Y-%m-%d %H:%M}"
        until = f"signs until {kept.until:%Y-%m-%d %H:%M}" if kept.until else "signs"
        sys.stdout.write(f"{kept.secret.owner or '-':24}  {made}  {until}\n")


def _tell_owner(settings: ApiSettings, given: argparse.Namespace) -> None:
    if settings.oidc_issuer is None:
        raise SettingsError("METSEG_OIDC_ISSUER: expected the issuer whose subject it is, and none is set")
    sys.stdout.write(f"{owner_of(settings.oidc_issuer, given.subject)}\n")


def _export_audit(settings: ApiSettings, _given: argparse.Namespace) -> None:
    for entry in AuditTrail(open_blob_store(settings.store)).entries():
        sys.stdout.write(json.dumps(entry.model_dump(mode="json") | {"sha256": entry.sha256}) + "\n")


def _verify_audit(settings: ApiSettings, given: argparse.Namespace) -> None:
    head = AuditTrail(open_blob_store(settings.store)).verify(given.head)
    sys.stdout.write(f"The audit trail is whole. Head: {head}\n")


def _tell_audit(settings: ApiSettings, action: Action, key_id: str) -> None:
    AuditTrail(open_blob_store(settings.store)).append(AuditEvent(action=action, subject=key_id))


def _hours(text: str) -> timedelta:
    hours = float(text)
    if not 0 <= hours <= MOST_OVERLAP_H:
        raise argparse.ArgumentTypeError(f"expected 0 to {MOST_OVERLAP_H} hours")
    return timedelta(hours=hours)


def _head(text: str) -> Head:
    match = _HEAD.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError("expected NUMBER:SHA256, as `audit verify` tells it")
    return Head(int(match[1]), match[2])
