"""The library's errors as Python classes, one a code of ``itemcrop::ErrorCode`` (include/itemcrop/error.h).

Each also is the built-in exception that a Python program would expect: a wrong argument is a ``ValueError``,
a missing file a ``FileNotFoundError``. All can be pickled, so they cross processes.
"""

from __future__ import annotations

from typing import ClassVar


class Error(Exception):
    """Base of all. ``str(error)`` is a sentence that names the field, the limit and the value.

    ``code``: stable lower-case name of the error ("corrupt_model"), as used in JSON.
    ``field``: the argument that is wrong, as a path ("items[2].threshold"), or "".
    ``retry_after_seconds``: when it is worth trying again, 0: not known.
    """

    code: ClassVar[str] = "internal"

    def __init__(self, message: str, field: str = "", retry_after_seconds: int = 0) -> None:
        super().__init__(message)
        self.field = field
        self.retry_after_seconds = retry_after_seconds

    def __str__(self) -> str:
        return str(self.args[0])

    def __reduce__(self) -> tuple[type[Error], tuple[str, str, int]]:
        return type(self), (str(self), self.field, self.retry_after_seconds)


class InvalidArgumentError(Error, ValueError):
    """A caller's value is out of its documented range."""

    code = "invalid_argument"


class NotFoundError(Error, FileNotFoundError):
    """A file, folder or model does not exist or cannot be opened."""

    code = "not_found"


class CorruptModelError(Error):
    """A checkpoint contradicts itself or its config."""

    code = "corrupt_model"


class UnsupportedModelError(Error):
    """A well-formed checkpoint of a kind this build does not run."""

    code = "unsupported_model"


class UnsupportedImageError(Error):
    """Bytes that are not one of the accepted image formats."""

    code = "unsupported_image"


class CorruptImageError(Error):
    """An accepted format whose data is damaged."""

    code = "corrupt_image"


class LimitExceededError(Error):
    """A documented size limit (pixels, bytes, items, tokens) is exceeded."""

    code = "limit_exceeded"


class UnsupportedDeviceError(Error):
    """The device or precision is not available on this machine."""

    code = "unsupported_device"


class OutOfMemoryError(Error, MemoryError):
    """An allocation failed; the engine stays usable."""

    code = "out_of_memory"


class DeviceLostError(Error):
    """The device stopped responding; the process should be restarted."""

    code = "device_lost"


class InputOutputError(Error, OSError):
    """Reading or writing failed part-way."""

    code = "io"


class ForbiddenError(Error, PermissionError):
    """A policy refuses it."""

    code = "forbidden"


class DeadlineExceededError(Error, TimeoutError):
    """The time allowed for it ran out."""

    code = "deadline_exceeded"


class CancelledError(Error):
    """Nobody waits for the result any more."""

    code = "cancelled"


class OverloadedError(Error):
    """A bounded queue is full; worth trying again later."""

    code = "overloaded"


class BadImageUrlError(Error):
    """An address that gives no image, whenever it is asked."""

    code = "bad_image_url"


class UnavailableError(Error):
    """Another service failed or cannot be reached."""

    code = "unavailable"


class DrainingError(Error):
    """The process is shutting down and begins nothing new."""

    code = "draining"


class InternalError(Error):
    """A broken invariant: a bug in itemcrop."""

    code = "internal"


CLASSES: dict[str, type[Error]] = {kind.code: kind for kind in Error.__subclasses__()}


def from_engine(code: str, message: str, field: str, retry_after_seconds: int) -> Error:
    """The exception of an engine's error; called by ``itemcrop._engine``."""
    return CLASSES.get(code, InternalError)(message, field, retry_after_seconds)
