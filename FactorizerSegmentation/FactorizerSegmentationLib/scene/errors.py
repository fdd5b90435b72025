"""What in the scene stands in the way of a run."""

from factorizer_engine.protocol.errors import BadInputError


class SceneError(BadInputError):
    """A node that cannot be used; the message is one sentence for the user."""
