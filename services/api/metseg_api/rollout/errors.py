"""What can go wrong in a rollout beside TF Serving itself."""

from metseg.errors import MetsegError


class RolloutError(MetsegError):
    """A label cannot be moved as asked; nothing was changed."""

    code = "rollout_refused"
