"""What is taken for an image, without the engine."""

import io

import numpy as np
import pytest
from PIL import Image

from conftest import PHOTO
from itemcrop import errors
from itemcrop._images import MAX_PIXELS, to_pixels

ROWS = np.random.default_rng(1).integers(0, 256, (5, 7, 3), np.uint8)


class ArrayInterface:
    def __init__(self, array):
        self.array = array
        self.__array_interface__ = array.__array_interface__


class DLPack:
    """An object that has DLPack and nothing else."""

    def __init__(self, array, device=None):
        self.array = array
        self.device = device or array.__dlpack_device__()

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.device


@pytest.mark.parametrize(
    "image",
    [ROWS, ROWS[1:4], ROWS[:, 2:6], ROWS[::2], ROWS[1:2, 2:3]],
    ids=["whole", "rows", "columns", "every second row", "one pixel"],
)
@pytest.mark.parametrize("wrap", [lambda array: array, ArrayInterface, DLPack, memoryview])
def test_an_array_is_not_copied_where_rows_lie_end_to_end(image, wrap):
    got = to_pixels(wrap(image))
    assert np.shares_memory(got, ROWS)
    np.testing.assert_array_equal(got, image)


@pytest.mark.parametrize(
    "image",
    [ROWS[::-1], ROWS[:, ::-1], ROWS[:, ::2], ROWS[:, :, ::-1], np.asfortranarray(ROWS)],
    ids=["bottom up", "right to left", "every second column", "BGR", "Fortran"],
)
def test_another_layout_is_copied(image):
    got = to_pixels(image)
    assert got.flags.c_contiguous
    np.testing.assert_array_equal(got, image)


@pytest.mark.parametrize(
    "image, message",
    [
        (
            np.zeros((4, 5), np.uint8),
            r"image: needs shape \(height, width, 3\) of uint8, got \(4, 5\) of uint8",
        ),
        (np.zeros((4, 5, 4), np.uint8), r"got \(4, 5, 4\) of uint8"),
        (np.zeros((3, 4, 5), np.uint8), r"channels come last: image.transpose\(1, 2, 0\)"),
        (np.zeros((4, 5, 3), np.float32), "of float32"),
        (np.zeros((0, 5, 3), np.uint8), r"got \(0, 5, 3\)"),
        (DLPack(ROWS, device=(2, 0)), "its memory is on a device"),
        (17, "not int"),
        (None, "not NoneType"),
    ],
)
def test_what_is_no_image_is_refused(image, message):
    with pytest.raises(errors.InvalidArgumentError, match=message) as refused:
        to_pixels(image)
    assert refused.value.field == "image"


def test_a_file_is_the_same_as_a_path_bytes_or_pillow(pixels):
    data = PHOTO.read_bytes()
    for image in (PHOTO, str(PHOTO), data, bytearray(data), Image.open(PHOTO)):
        np.testing.assert_array_equal(to_pixels(image), pixels)


def encoded(image, form="PNG", **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def test_files_become_upright_srgb_over_white():
    picture = Image.new("RGBA", (2, 1), (10, 20, 30, 255))
    picture.putpixel((1, 0), (0, 0, 0, 0))
    np.testing.assert_array_equal(to_pixels(encoded(picture)), [[[10, 20, 30], [255, 255, 255]]])

    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    sideways = Image.new("RGB", (2, 1), "red")
    sideways.putpixel((1, 0), (0, 0, 255))
    turned = to_pixels(encoded(sideways, exif=exif))
    np.testing.assert_array_equal(turned, [[[255, 0, 0]], [[0, 0, 255]]])

    assert to_pixels(encoded(Image.new("L", (1, 1), 77))).tolist() == [[[77, 77, 77]]]
    deep = Image.fromarray(np.full((1, 1), 128 * 257, np.uint16))
    assert to_pixels(encoded(deep)).tolist() == [[[128, 128, 128]]]
    palette = Image.new("P", (1, 1), 0)
    palette.putpalette([1, 2, 3] * 256)
    assert to_pixels(encoded(palette)).tolist() == [[[1, 2, 3]]]


def test_broken_files_have_the_error_of_the_command_line(tmp_path):
    whole = PHOTO.read_bytes()
    with pytest.raises(errors.UnsupportedImageError, match=r"images\[3\]: 5 bytes that are none of JPEG"):
        to_pixels(b"hello", "images[3]")
    with pytest.raises(errors.CorruptImageError, match="truncated"):
        to_pixels(whole[: len(whole) // 2])
    with pytest.raises(errors.NotFoundError, match=r"no file '.*none.jpg'"):
        to_pixels(tmp_path / "none.jpg")
    with pytest.raises(errors.InputOutputError):
        to_pixels(tmp_path)
    with pytest.raises(errors.UnsupportedImageError):
        to_pixels(encoded(Image.new("RGB", (1, 1)), "PPM"))


def test_a_file_that_announces_too_many_pixels_is_not_decoded():
    huge = encoded(Image.new("1", (8000, 6251)))
    with pytest.raises(
        errors.LimitExceededError, match=f"8000 x 6251 pixels are more than max_pixels = {MAX_PIXELS}"
    ):
        to_pixels(huge)
