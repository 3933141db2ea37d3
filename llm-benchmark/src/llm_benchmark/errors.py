"""What can go wrong, by name."""

from __future__ import annotations


class OptionError(Exception):
    """An option cannot be used: the message says which, what is wrong and what to do."""


class AnswerError(Exception):
    """The server's answer to one request is not a good answer.

    Attributes:
        error_class: The word by which such failures are counted.
    """

    def __init__(self, error_class: str, message: str) -> None:
        super().__init__(message)
        self.error_class = error_class
