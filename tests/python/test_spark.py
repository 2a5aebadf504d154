"""itemcrop.spark with the Spark of PyPI, on a local cluster: two executors, each a Java process."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import pyspark
import pytest

import itemcrop
import itemcrop.spark
import photos
from conftest import ITEMS, ROOT

COUNT = 40
THRESHOLD = 0.15


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return photos.write(tmp_path_factory.mktemp("spark") / "photos", COUNT)


@pytest.fixture(scope="module")
def table(folder):
    return photos.expected(itemcrop.load(threads=1, **photos.SMALL), folder, threshold=THRESHOLD)


@pytest.fixture(scope="module")
def spark(tmp_path_factory):
    from pyspark.sql import SparkSession

    os.environ["SPARK_HOME"] = str(pathlib.Path(pyspark.__file__).parent)
    os.environ["PYSPARK_PYTHON"] = sys.executable
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    session = (
        SparkSession.builder.master("local-cluster[2,1,600]")
        .config("spark.executor.memory", "512m")
        .config("spark.ui.enabled", "false")
        .config("spark.executorEnv.PYTHONPATH", str(ROOT / "tests" / "python"))
        .config("spark.sql.files.maxPartitionBytes", "20000")
        .config("spark.sql.files.openCostInBytes", "1000")
        .config("spark.local.dir", str(tmp_path_factory.mktemp("spark-local")))
        .config("spark.worker.cleanup.enabled", "true")
        .getOrCreate()
    )
    yield session
    session.stop()


def files(spark, folder):
    return spark.read.format("binaryFile").load(str(folder)).select("path", "content")


def test_a_column_function_has_the_results_of_single_calls(spark, folder, table):
    detect = itemcrop.spark.predict_batch_udf(ITEMS, batch_size=4, threshold=THRESHOLD, **photos.SMALL)
    rows = (
        files(spark, folder)
        .select("path", detect("content").alias("found"))
        .select("path", "found.*")
        .collect()
    )
    photos.check(rows, table)


def test_whole_rows_have_the_results_of_single_calls(spark, folder, table):
    frame = files(spark, folder)
    function = itemcrop.spark.map_in_arrow(ITEMS, threshold=THRESHOLD, **photos.SMALL)
    rows = frame.mapInArrow(function, itemcrop.spark.schema_of(frame)).collect()
    photos.check(rows, table)
    assert rows[0].__fields__ == ["path", *itemcrop._batches.COLUMNS]


def executors():
    """Process ids of this session's executors."""
    application = pyspark.SparkContext._active_spark_context.applicationId
    found = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # the process has ended
            command = (folder / "cmdline").read_text(errors="replace")
            if "CoarseGrainedExecutorBackend" in command and application in command:
                found.append(int(folder.name))
    return found


def test_an_executor_killed_half_way_costs_no_row_and_changes_none(spark, folder, table, tmp_path):
    frame = files(spark, folder)
    function = itemcrop.spark.map_in_arrow(ITEMS, threshold=THRESHOLD, batch_size=2, **photos.SMALL)

    def counted(batches):
        for batch in function(batches):
            (tmp_path / batch.column("path")[0].as_py().rsplit("/", 1)[1]).touch()
            time.sleep(0.2)
            yield batch

    killed = []

    def kill():
        while len(list(tmp_path.iterdir())) < COUNT // 8:
            time.sleep(0.02)
        before = executors()
        os.kill(before[0], signal.SIGKILL)
        killed.append(len(before))

    thread = threading.Thread(target=kill)
    thread.start()
    rows = frame.mapInArrow(counted, itemcrop.spark.schema_of(frame)).collect()
    thread.join()
    assert killed == [2]
    photos.check(rows, table)


def test_the_example_writes_parquet(tmp_path, folder, spark):
    few = tmp_path / "photos"
    few.mkdir()
    for name in ("photo_0000.jpg", "photo_0003.jpg"):
        (few / name).write_bytes((folder / name).read_bytes())
    script = ROOT / "examples" / "python" / "spark_photos.py"
    done = subprocess.run(
        [sys.executable, script, few, ",".join(ITEMS), tmp_path / "out"],
        env={**os.environ, "SPARK_CONF_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    rows = spark.read.parquet(str(tmp_path / "out")).collect()
    assert len(rows) == 2
    assert sum(row["error"] is not None for row in rows) == 1


def test_the_schema_is_what_the_text_says(spark):
    from pyspark.sql.types import StructType

    assert itemcrop.spark._struct() == StructType.fromDDL(itemcrop.spark.SCHEMA)
