"""Why a scan is not compared with an earlier one: a tree of its own below `RequestError`.

FollowUpError                follow_up_refused
├─ PreviousUnknownError      previous_unknown
├─ PreviousGoneError         previous_gone
├─ PreviousUnfinishedError   previous_unfinished
├─ NotVolumeError            previous_not_volume
└─ RegistrationError         registration_failed
"""

from metseg.errors import RequestError


class FollowUpError(RequestError):
    """The scan cannot be compared with the earlier one."""

    code = "follow_up_refused"


class PreviousUnknownError(FollowUpError):
    """There is no earlier job of that id."""

    code = "previous_unknown"


class PreviousGoneError(FollowUpError):
    """The earlier job was deleted, or has expired."""

    code = "previous_gone"


class PreviousUnfinishedError(FollowUpError):
    """The earlier job has no result to compare with."""

    code = "previous_unfinished"


class NotVolumeError(FollowUpError):
    """One of the two is a single picture, which has no place in the head."""

    code = "previous_not_volume"


class RegistrationError(FollowUpError):
    """The earlier scan could not be registered to the later one."""

    code = "registration_failed"
