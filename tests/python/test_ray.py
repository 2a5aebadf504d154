"""itemcrop.ray with the Ray of PyPI, on a cluster of three nodes of this machine."""

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

import itemcrop
import itemcrop.ray
import photos
from conftest import ITEMS, PHOTO, ROOT
from itemcrop import errors

COUNT = 60
THRESHOLD = 0.15
# With a whole CPU each, reading would wait for CPUs that the actors hold.
READ = {"num_cpus": 0.1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return photos.write(tmp_path_factory.mktemp("ray") / "photos", COUNT)


@pytest.fixture(scope="module")
def table(folder):
    return photos.expected(itemcrop.load(threads=1, **photos.SMALL), folder, threshold=THRESHOLD)


@pytest.fixture(scope="module")
def cluster():
    os.environ.setdefault("RAY_TMPDIR", "/tmp")  # paths of sockets are short there
    os.environ["RAY_DATA_DISABLE_PROGRESS_BARS"] = "1"
    os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"
    import ray
    from ray.cluster_utils import Cluster

    made = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 2, "object_store_memory": 100 << 20, "include_dashboard": False},
    )
    # The test's own folder is where the workers find photos.py.
    ray.init(address=made.address, runtime_env={"env_vars": {"PYTHONPATH": str(ROOT / "tests" / "python")}})
    yield made
    ray.shutdown()
    made.shutdown()


def run(ray, folder, actors=2, **options):
    data = ray.data.read_binary_files(
        str(folder), include_paths=True, override_num_blocks=15, ray_remote_args=READ
    )
    return data.map_batches(
        itemcrop.ray.Detector,
        fn_constructor_kwargs={"items": ITEMS, "threshold": THRESHOLD, **photos.SMALL},
        batch_size=4,
        concurrency=actors,
        num_cpus=0.5,
        **options,
    )


def test_columns_come_and_go_as_documented_in_both_batch_formats(model, found):
    detector = itemcrop.ray.Detector(ITEMS, precision="fp32", crops=True, threads=0)
    data = [PHOTO.read_bytes(), b"nothing"]
    numpy = detector({"bytes": np.array(data, object), "path": np.array(["a", "b"])})
    arrow = detector(pa.table({"bytes": data, "path": ["a", "b"]}))
    assert arrow.column_names == list(numpy) == ["path", *itemcrop._batches.COLUMNS, "crops"]
    for batch in (numpy, arrow.to_pydict()):
        assert batch["labels"][0] == found.labels
        assert batch["scores"][0] == found.scores.tolist()
        assert batch["boxes"][0] == found.boxes.tolist()
        assert list(batch["width"]) == [found.width, 0]
        assert batch["error"][0] is None
        assert (
            batch["error"][1]
            == "unsupported_image: image: 7 bytes that are none of JPEG, PNG, WEBP, TIFF, GIF, AVIF"
        )
        assert (batch["labels"][1], batch["boxes"][1]) == ([], [])
        assert [one[:3] for one in batch["crops"][0]] == [b"\xff\xd8\xff"] * len(found)
    kept = itemcrop.ray.Detector(ITEMS, precision="fp32", keep_image=True, image="photo")
    assert "photo" in kept({"photo": np.array([None], object)})


def test_wrong_items_end_the_job_instead_of_becoming_a_column():
    with pytest.raises(errors.InvalidArgumentError, match="items"):
        itemcrop.ray.Detector([" "])
    with pytest.raises(errors.InvalidArgumentError, match="threshold must be between"):
        itemcrop.ray.Detector(ITEMS, threshold=7)
    with pytest.raises(TypeError, match="unexpected keyword argument 'treshold'"):
        itemcrop.ray.Detector(ITEMS, treshold=0.5)


@pytest.mark.parametrize("form", ["numpy", "pyarrow"])
def test_a_job_has_the_results_of_single_calls(cluster, folder, table, form):
    import ray

    photos.check(run(ray, folder, batch_format=form).take_all(), table)


def test_a_node_killed_half_way_costs_no_row_and_changes_none(cluster, folder, table):
    import ray

    lost, _ = (cluster.add_node(num_cpus=1, object_store_memory=100 << 20) for _ in range(2))
    cluster.wait_for_nodes()

    @ray.remote(num_cpus=0)
    class Count:
        def __init__(self):
            self.rows = 0

        def add(self, rows):
            self.rows += rows

        def get(self):
            return self.rows

    count = Count.options(
        scheduling_strategy=ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            ray.get_runtime_context().get_node_id(), soft=False
        )
    ).remote()

    class Counted(itemcrop.ray.Detector):
        def __call__(self, batch):
            done = super().__call__(batch)
            ray.get(count.add.remote(len(done["error"])))
            time.sleep(0.2)
            return done

    killed = []

    def kill():
        while ray.get(count.get.remote()) < COUNT // 4:
            time.sleep(0.02)
        cluster.remove_node(lost, allow_graceful=False)
        killed.append(ray.get(count.get.remote()))

    thread = threading.Thread(target=kill)
    thread.start()
    data = ray.data.read_binary_files(
        str(folder), include_paths=True, override_num_blocks=15, ray_remote_args=READ
    )
    rows = data.map_batches(
        Counted,
        fn_constructor_kwargs={"items": ITEMS, "threshold": THRESHOLD, **photos.SMALL},
        batch_size=4,
        concurrency=3,
        num_cpus=0.9,
    ).take_all()
    thread.join()
    assert killed[0] < COUNT, "the node was killed after the job's end"
    photos.check(rows, table)


def test_the_example_writes_parquet_and_crops(cluster, tmp_path, folder):
    few = tmp_path / "photos"
    few.mkdir()
    for name in ("photo_0000.jpg", "photo_0003.jpg"):
        (few / name).write_bytes((folder / name).read_bytes())
    (few / "look.jpg").write_bytes(PHOTO.read_bytes())
    done = subprocess.run(
        [
            sys.executable,
            ROOT / "examples" / "python" / "ray_photos.py",
            few,
            ",".join(ITEMS),
            tmp_path / "out",
            "1",
        ],
        env={**os.environ, "RAY_ADDRESS": cluster.address},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    rows = pyarrow.parquet.read_table(tmp_path / "out" / "table").to_pylist()
    assert len(rows) == 3
    look = next(row for row in rows if row["path"].endswith("look.jpg"))
    assert len(look["labels"]) >= 5
    assert len(look["crops"]) == len(look["labels"])
    for name in look["crops"]:
        assert (tmp_path / "out" / "crops" / name).read_bytes().startswith(b"\xff\xd8\xff")
    assert sum(row["error"] is not None for row in rows) == 1
