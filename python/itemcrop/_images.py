"""What callers pass as an image, as uint8 pixels of shape (height, width, 3) that the engine can read.

Arrays cost no copy if the pixels of a row lie end to end; rows may be apart. Files are decoded by Pillow, to
what ``src/image`` makes of them: upright, sRGB, transparency over white, the first frame.
"""

from __future__ import annotations

import io
import os
import pathlib
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeGuard, Union

import numpy as np
import numpy.typing as npt

from . import errors

if TYPE_CHECKING:
    import PIL.Image

Pixels = npt.NDArray[np.uint8]
#: numpy (height, width, 3) uint8, a Pillow image, a path, a file's bytes, or an object with
#: ``__array_interface__``, ``__dlpack__`` on the CPU or the buffer protocol.
Image = Union[Pixels, "PIL.Image.Image", str, "os.PathLike[str]", bytes, bytearray, Any]

#: Limits of an encoded image, those of the command line (src/image/limits.h).
MAX_PIXELS = 50_000_000
MAX_BYTES = 20_000_000
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "AVIF")

# DLPack's names for memory that the processor can read: kDLCPU and kDLCUDAHost.
_HOST_DEVICES = (1, 3)


def to_pixels(
    image: Image, field: str = "image", from_pillow: Callable[[PIL.Image.Image], Pixels] | None = None
) -> Pixels:
    """Pixels of one image, without a copy where its layout allows. ``field`` names it in errors.
    ``from_pillow`` takes the place of ``pillow_to_srgb``."""
    convert = from_pillow or pillow_to_srgb
    if isinstance(image, (str, os.PathLike)):
        return _decode(_read(pathlib.Path(image), field), field, convert)
    if isinstance(image, (bytes, bytearray)):
        return _decode(bytes(image), field, convert)
    if _is_pillow(image):
        return convert(image)
    return _checked(_as_array(image, field), field)


def as_list(images: Any) -> list[Any]:
    """Several images are a list or a tuple; anything else is one."""
    return list(images) if isinstance(images, (list, tuple)) else [images]


def _as_array(image: Any, field: str) -> npt.NDArray[Any]:
    if isinstance(image, np.ndarray):
        return image
    if hasattr(image, "__array_interface__"):
        return np.asarray(image)
    if hasattr(image, "__dlpack__"):
        if image.__dlpack_device__()[0] not in _HOST_DEVICES:
            raise errors.InvalidArgumentError(
                f"{field}: its memory is on a device; copy it to the CPU first", field
            )
        return np.asarray(np.from_dlpack(image))
    try:
        return np.asarray(memoryview(image))
    except TypeError:
        raise errors.InvalidArgumentError(
            f"{field}: an array, a Pillow image, a path or bytes are accepted, not {type(image).__name__}",
            field,
        ) from None


def _checked(array: npt.NDArray[Any], field: str) -> Pixels:
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        hint = ""
        if array.ndim == 3 and array.shape[2] != 3 and array.shape[0] == 3:
            hint = "; channels come last: image.transpose(1, 2, 0)"
        raise errors.InvalidArgumentError(
            f"{field}: needs shape (height, width, 3) of uint8, got {array.shape} of {array.dtype}{hint}",
            field,
        )
    row, column, channel = array.strides
    apart = array.shape[0] == 1 or row >= 3 * array.shape[1]
    return array if (column, channel) == (3, 1) and apart else np.ascontiguousarray(array)


def _read(path: pathlib.Path, field: str) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise errors.NotFoundError(f"{field}: no file '{path}'", field) from None
    except OSError as error:
        raise errors.InputOutputError(f"{field}: '{path}' cannot be read: {error.strerror}", field) from error


def _is_pillow(image: Any) -> TypeGuard[PIL.Image.Image]:
    pillow = sys.modules.get("PIL.Image")  # whoever has such an image has imported it
    return pillow is not None and isinstance(image, pillow.Image)


def _decode(data: bytes, field: str, convert: Callable[[PIL.Image.Image], Pixels]) -> Pixels:
    try:
        import PIL.Image
    except ImportError:
        raise ImportError(
            "decoding files needs Pillow: pip install 'itemcrop[images]', or pass pixels as a numpy array"
        ) from None
    if len(data) > MAX_BYTES:
        raise errors.LimitExceededError(f"{field}: more than max_bytes = {MAX_BYTES} bytes", field)
    PIL.Image.init()
    known = [name for name in FORMATS if name in PIL.Image.OPEN]
    try:
        with PIL.Image.open(io.BytesIO(data), formats=known) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                raise errors.LimitExceededError(
                    f"{field}: {opened.width} x {opened.height} pixels are more than max_pixels = {MAX_PIXELS}",
                    field,
                )
            return convert(opened)
    except (PIL.Image.DecompressionBombError, PIL.Image.DecompressionBombWarning) as error:
        raise errors.LimitExceededError(f"{field}: {error}", field) from None
    except PIL.UnidentifiedImageError:
        raise errors.UnsupportedImageError(
            f"{field}: {len(data)} bytes that are none of {', '.join(known)}", field
        ) from None
    except errors.Error:
        raise
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, struct.error and more
        raise errors.CorruptImageError(f"{field}: damaged: {error}", field) from error


def pillow_to_srgb(image: PIL.Image.Image) -> Pixels:
    """Upright sRGB, transparency over white, as src/image decodes files."""
    from PIL import Image, ImageOps

    profile = image.info.get("icc_profile")
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I") or upright.mode == "F":  # 16 bits of grey, which convert() would clip
        scaled = np.clip(np.asarray(upright) / 257.0 + 0.5, 0, 255).astype(np.uint8)
        upright = Image.fromarray(scaled)
    if upright.mode in ("P", "PA", "LA", "La", "RGBa") or "transparency" in upright.info:
        upright = upright.convert("RGBA")
    if profile:
        upright = _to_srgb(upright, profile)
    if upright.mode == "RGBA":
        upright = Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright)
    return np.asarray(upright.convert("RGB"))


def _to_srgb(image: PIL.Image.Image, profile: bytes) -> PIL.Image.Image:
    from PIL import ImageCms

    mode = "RGBA" if image.mode == "RGBA" else "RGB"
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return (
            ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode=mode) or image
        )
    except (ImageCms.PyCMSError, OSError, ValueError):  # a broken profile counts as none
        return image
