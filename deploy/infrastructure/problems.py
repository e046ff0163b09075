"""What goes wrong with the infrastructure, and with which exit code."""


class InfrastructureError(Exception):
    """AWS refused, or something is not as it must be (exit code 1)."""


class BadInputError(Exception):
    """What was given cannot be used; the message says what, and the remedy (exit code 2)."""
