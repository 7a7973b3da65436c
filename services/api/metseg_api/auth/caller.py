"""The caller of a request: its owner, its scopes, and its entries in the audit log."""

from dataclasses import dataclass

from metseg_api.auth.api_keys import Scope
from metseg_api.auth.audit_log import Action, AuditEvent, AuditTrail


@dataclass(frozen=True)
class Caller:
    """Who asks; without access control nobody in particular, who may do everything.

    Attributes:
        key_id: Public part of the key; of a token's holder the owner.
        owner: Whose jobs the caller sends and sees.
    """

    key_id: str | None = None
    owner: str | None = None
    scopes: frozenset[Scope] = frozenset(Scope)

    @property
    def is_admin(self) -> bool:
        """Whether everyone's jobs may be seen and ended."""
        return Scope.ADMIN in self.scopes

    def may_see(self, owner: str | None) -> bool:
        """Whether jobs of that owner exist for the caller."""
        return self.is_admin or (owner is not None and owner == self.owner)


@dataclass(frozen=True)
class AuditLogger:
    """Writes the actions of one caller to the audit log."""

    trail: AuditTrail
    caller: Caller
    request_id: str

    def record(self, action: Action, job_id: str, subject: str | None = None) -> None:
        """Write an entry; call it before the action.

        Raises:
            StoreUnavailableError: It could not be written, so the action must not be taken.
        """
        self.trail.append(
            AuditEvent(
                action=action,
                key_id=self.caller.key_id,
                owner=self.caller.owner,
                job_id=job_id,
                subject=subject,
                request_id=self.request_id,
            )
        )
