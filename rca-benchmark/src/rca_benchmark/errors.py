"""The errors of the bench. Each message says what, where, and what to do, on one line."""


class BenchError(Exception):
    """An error of the input or the surroundings that the user can act on."""


class CaseError(BenchError):
    """A case or a data set does not hold what its schema promises."""


class ExportError(BenchError):
    """A telemetry back end is down, or its answer cannot be used."""


class MethodFailed(BenchError):  # noqa: N818 - a verdict that is recorded, and named as one
    """A method cannot answer for this observation; the message is the recorded reason."""
