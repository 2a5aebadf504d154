"""Model.detect with the embedded model."""

import concurrent.futures
import json
import pathlib
import pickle
import re
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import itemcrop
from conftest import ITEMS, PHOTO, ROOT
from itemcrop import errors

EXPECTED = json.loads((ROOT / "models" / "wardrobe" / "expected.json").read_text())


def same(first, second):
    return (
        first.labels == second.labels
        and np.array_equal(first.boxes, second.boxes)
        and np.array_equal(first.scores, second.scores)
        and np.array_equal(first.item_scores, second.item_scores)
    )


@pytest.mark.parametrize("case", EXPECTED["cases"], ids=lambda case: case["labels"])
def test_the_sample_photo_has_the_detections_of_transformers(model, pixels, case):
    found = model.detect(
        pixels,
        case["items"],
        labels=case["labels"],
        threshold=case["threshold"],
        text_threshold=case["text_threshold"],
    )
    assert [one.label for one in found] == [one["label"] for one in case["detections"]]
    for one, expected in zip(found, case["detections"]):
        assert one.score == pytest.approx(expected["score"], abs=EXPECTED["tolerance_fp32"]["score"])
        assert one.box == pytest.approx(expected["box"], abs=EXPECTED["tolerance_fp32"]["box"])


def test_shapes_and_types_are_as_documented(found, pixels):
    count = len(found)
    assert count >= 5
    assert (found.boxes.shape, found.boxes.dtype) == ((count, 4), np.float32)
    assert (found.scores.shape, found.scores.dtype) == ((count,), np.float32)
    assert (found.item_ids.shape, found.item_ids.dtype) == ((count,), np.int32)
    assert (found.item_scores.shape, found.item_scores.dtype) == ((count, len(ITEMS)), np.float32)
    assert found.labels == [ITEMS[i] for i in found.item_ids]
    assert (found.items, found.width, found.height) == (ITEMS, pixels.shape[1], pixels.shape[0])
    assert np.shares_memory(found.image, pixels)
    assert list(found.timing_ms) == ["preprocess", "model", "postprocess"]
    assert found.timing_ms["model"] > 0
    assert np.array_equal(np.sort(found.scores)[::-1], found.scores)


def test_every_kind_of_image_has_the_same_result(model, found, pixels):
    from PIL import Image

    wide = np.zeros((pixels.shape[0], pixels.shape[1] + 9, 3), np.uint8)
    wide[:, 4:-5] = pixels
    for image in (PHOTO, PHOTO.read_bytes(), Image.open(PHOTO), wide[:, 4:-5], np.asfortranarray(pixels)):
        assert same(model.detect(image, ITEMS), found)


def test_a_batch_is_the_same_as_each_image_alone(model, found, pixels):
    small = pixels[:300, :200]
    batch = model.detect([pixels, small, pixels], [ITEMS, ["hat"], ["pants", "shoes"]])
    assert same(batch[0], found)
    assert same(batch[1], model.detect(small, ["hat"]))
    assert same(batch[2], model.detect(pixels, "pants, shoes"))
    assert [same(one, found) for one in model.detect((pixels, PHOTO), ITEMS)] == [True, True]
    assert model.detect([], ITEMS) == []


def test_items_have_settings_of_their_own(model, found, pixels):
    item = itemcrop.Item
    few = model.detect(
        pixels, [item("shoes", count=1), item("pants", threshold=0.99), item("hat", distractor=True)]
    )
    assert few.labels.count("shoes") <= 1
    assert "pants" not in few.labels
    assert few.not_found == ["pants"]
    assert "hat" not in few.labels
    assert len(model.detect(pixels, ITEMS, threshold=0.9)) < len(found)
    assert len(model.detect(pixels, ITEMS, threshold=0.02, suppress=False)) > len(found)
    tokens = model.detect(pixels, ITEMS, labels="tokens")
    assert set(tokens.item_ids.tolist()) == {-1}


def test_threads_run_calls_side_by_side_with_the_same_results(model, found, pixels):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: model.detect(pixels, ITEMS), range(8)))
    assert all(same(one, found) for one in results)


def test_other_threads_run_during_a_call(model, pixels):
    """With the GIL held, the counter would stand still for the whole call."""
    counts, done = [], threading.Event()

    def count():
        while not done.wait(0.001):
            counts.append(time.perf_counter())

    thread = threading.Thread(target=count)
    thread.start()
    started = time.perf_counter()
    model.detect([pixels] * 4, ITEMS)
    ended = time.perf_counter()
    done.set()
    thread.join()
    during = [at for at in counts if started < at < ended]
    assert len(during) >= 3
    longest = max(b - a for a, b in zip([started, *during], [*during, ended]))
    assert longest < 0.8 * (ended - started)


def test_ctrl_c_ends_a_call_of_the_main_thread(model, pixels):
    before = signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(KeyboardInterrupt):
            model.detect([pixels] * 60, ITEMS)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert len(model.detect(pixels, ITEMS)) > 0


@pytest.mark.parametrize(
    "items, options, kind, message",
    [
        ([], {}, errors.InvalidArgumentError, "items"),
        ("  ", {}, errors.InvalidArgumentError, "items"),
        (["hat", " "], {}, errors.InvalidArgumentError, r"items\[1\].prompt must not be blank"),
        (["hat", 3], {}, errors.InvalidArgumentError, r"items\[1\]: a string or an Item is needed, not int"),
        (7, {}, errors.InvalidArgumentError, "items: a string or a list is needed, not int"),
        (
            ["hat"],
            {"threshold": 1.5},
            errors.InvalidArgumentError,
            "threshold must be between 0 and 1, got 1.5",
        ),
        (["hat"], {"threshold": "high"}, errors.InvalidArgumentError, "threshold='high'"),
        (["hat"], {"count": 0}, errors.InvalidArgumentError, "count must be at least 1, got 0"),
        (["hat"], {"labels": "words"}, errors.InvalidArgumentError, "labels must be one of items, tokens"),
        (["hat"] * 1001, {}, errors.LimitExceededError, "items: 1001 given, the limit is 1000"),
        (["hat " * 300], {}, errors.LimitExceededError, "bytes, the limit is 1024"),
    ],
)
def test_a_wrong_argument_names_the_field_the_limit_and_the_value(
    model, pixels, items, options, kind, message
):
    with pytest.raises(kind, match=message):
        model.detect(pixels, items, **options)


def test_a_wrong_image_of_a_batch_is_named(model, pixels):
    with pytest.raises(errors.InvalidArgumentError, match=r"images\[1\]: needs shape") as refused:
        model.detect([pixels, pixels[..., :2]], "hat")
    assert refused.value.field == "images[1]"
    with pytest.raises(errors.InvalidArgumentError, match="items: 3 lists for 2 images"):
        model.detect([pixels, pixels], [["hat"], ["hat"], ["hat"]])


@pytest.mark.parametrize(
    "arguments, kind, message",
    [
        ({"model": "no-such-model"}, errors.NotFoundError, "no 'no-such-model'.*wardrobe"),
        ({"model": str(ROOT / "docs")}, errors.NotFoundError, "holds no config.json"),
        ({"device": "tpu"}, errors.InvalidArgumentError, "device must be one of auto, cpu, cuda"),
        ({"precision": "int4"}, errors.InvalidArgumentError, "precision must be one of"),
        ({"threads": 5000}, errors.InvalidArgumentError, "threads must be 0 to 1024, got 5000"),
        ({"threads": "two"}, errors.InvalidArgumentError, "threads='two'"),
    ],
)
def test_load_refuses_what_it_cannot_do(arguments, kind, message):
    with pytest.raises(kind, match=message):
        itemcrop.load(**arguments)


def test_a_damaged_checkpoint_is_an_exception(tmp_path):
    source = ROOT / "models" / "wardrobe"
    for file in source.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes()[:100_000])
    with pytest.raises(errors.CorruptModelError, match=r"model\.safetensors"):
        itemcrop.load(tmp_path)


def test_models_are_found_in_the_hugging_face_cache(tmp_path, monkeypatch):
    repository = tmp_path / "models--someone--my_model"
    snapshot = repository / "snapshots" / "abc123"
    snapshot.parent.mkdir(parents=True)
    snapshot.symlink_to(ROOT / "models" / "wardrobe")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc123")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    for name in ("someone/my_model", "my-model", "someone/my_model@abc123"):
        assert itemcrop.load(name).info["parameters"] > 1e6
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(errors.NotFoundError, match="'itemcrop models pull someone/other' brings it"):
        itemcrop.load("someone/other")


def test_models_and_errors_cross_processes(model, found, pixels):
    copy = pickle.loads(pickle.dumps(model))
    assert same(copy.detect(pixels, ITEMS), found)
    error = pickle.loads(pickle.dumps(errors.LimitExceededError("items: too many", "items", 3)))
    assert (type(error), str(error), error.field, error.retry_after_seconds) == (
        errors.LimitExceededError,
        "items: too many",
        "items",
        3,
    )


def test_errors_are_what_python_programs_expect():
    assert issubclass(errors.InvalidArgumentError, ValueError)
    assert issubclass(errors.NotFoundError, FileNotFoundError)
    header = (ROOT / "include" / "itemcrop" / "error.h").read_text()
    names = re.findall(r"^  k(\w+),", header, re.M)
    codes = {re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower() for name in names}
    assert len(codes) >= 18
    assert codes <= errors.CLASSES.keys()


def test_a_dry_run_says_what_a_call_needs(model, pixels):
    needed = model.estimate(pixels, ITEMS)
    assert needed.weights_bytes > 10e6
    assert needed.workspace_bytes > 1e6
    assert model.count_passes(ITEMS) == 1
    assert model.count_passes(["hat"] * 300) > 1
    with pytest.raises(errors.InvalidArgumentError):
        model.count_passes([" "])


def test_a_call_costs_little_more_than_the_engine(pixels):
    """Least of several calls, which other programs disturb least: what Python adds to the engine's own time, and
    what it does outside of the engine's call."""
    from PIL import Image

    large = np.asarray(Image.fromarray(pixels).resize((1333, 800)))
    model = itemcrop.load()
    shares = []
    for _ in range(5):
        started = time.perf_counter()
        found = model.detect(large, ITEMS)
        whole = (time.perf_counter() - started) * 1e3
        shares.append((whole - sum(found.timing_ms.values())) / whole)
    assert min(shares) <= 0.03

    class Timed:
        """The engine's object, which says how long its call took."""

        def __init__(self, engine):
            self.engine = engine
            self.seconds = 0.0

        def detect(self, *arguments):
            started = time.perf_counter()
            result = self.engine.detect(*arguments)
            self.seconds = time.perf_counter() - started
            return result

    quick = itemcrop.load(shortest_edge=32, longest_edge=64)
    timed = quick._engine = Timed(quick._engine)
    above = []
    for _ in range(30):
        started = time.perf_counter()
        quick.detect(pixels, ITEMS)
        above.append((time.perf_counter() - started - timed.seconds) * 1e3)
    assert min(above) <= 0.3


def test_numpy_alone_is_enough(tmp_path):
    """In a process where no package but numpy can be imported."""
    script = f"""
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {{"PIL", "pyarrow", "torch", "transformers", "huggingface_hub", "pandas"}}:
            raise ImportError(name + " is blocked")
sys.meta_path.insert(0, Blocker())
import numpy as np, itemcrop
model = itemcrop.load()
image = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
found = model.detect(image, "hat", threshold=0.0, count=3)
assert len(found) == 3 and found._repr_png_().startswith(b"\\x89PNG")
try:
    model.detect({str(PHOTO)!r}, "hat")
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "pip install 'itemcrop[images]'" in done.stdout


def test_doctor_examines_every_device(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "itemcrop", "doctor", "--json"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    checkup = json.loads(done.stdout)
    assert checkup["healthy"]
    assert {test["precision"] for test in checkup["self_tests"]} >= {"fp32"}
    text = subprocess.run(
        [sys.executable, "-m", "itemcrop", "doctor"], cwd=tmp_path, capture_output=True, text=True
    )
    assert "ok    " in text.stdout.split("Self-test")[1]
    failed = subprocess.run(
        [sys.executable, "-m", "itemcrop", "doctor", "--model", "nothing"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert failed.returncode == 1
    assert "FAIL  model: no 'nothing'" in failed.stdout


def test_the_version_is_the_librarys():
    header = (ROOT / "include" / "itemcrop" / "version.h").read_text()
    assert f'"{itemcrop.__version__}"' in header


def test_the_package_is_installed_not_the_source():
    assert ROOT / "python" not in pathlib.Path(itemcrop.__file__).parents
    assert (pathlib.Path(itemcrop.__file__).parent / "py.typed").exists()
