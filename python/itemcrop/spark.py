"""Spark: ``predict_batch_udf`` for a column, ``map_in_arrow`` for whole rows. See docs/fleets.md.

A Python worker of Spark loads a model once and keeps it for its next tasks (``spark.python.worker.reuse``); the
checkpoint's pages are mapped, so workers of a machine share them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from ._batches import COLUMNS, Row, arrow_columns, check_arguments, check_items, detect_rows, model_of_process
from ._model import Items

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql.types import StructType

#: What ``predict_batch_udf`` returns and ``map_in_arrow`` adds, as Spark writes types.
SCHEMA = (
    "labels array<string>, scores array<float>, boxes array<array<float>>, item_ids array<int>, "
    "not_found array<string>, width int, height int, error string"
)


def predict_batch_udf(
    items: Items,
    model: str = "wardrobe",
    *,
    batch_size: int = 8,
    device: str = "auto",
    precision: str = "auto",
    threads: int = 1,
    shortest_edge: int = 0,
    longest_edge: int = 0,
    **options: Any,
) -> Any:
    """A user-defined function of a column of images (files' bytes or paths) that gives a struct of SCHEMA.

    items, options: as for ``Model.detect``. model, device, precision, shortest_edge, longest_edge: as
    for ``load``.
    threads: of one worker; Spark runs one for each core of an executor. batch_size: images in one run.
    A broken image has an ``error`` and empty lists, and never ends the job.
    Called as pyspark.ml.functions.predict_batch_udf's are, which itself cannot return lists of lists or null.
    """
    import pandas as pd
    from pyspark.sql.pandas.functions import pandas_udf

    arguments = {
        "model": model,
        "device": device,
        "precision": precision,
        "threads": threads,
        "shortest_edge": shortest_edge,
        "longest_edge": longest_edge,
    }
    asked = check_items(items)

    def predict(columns: Any) -> Any:
        loaded = model_of_process(arguments)
        check_arguments(loaded, asked, options)
        for column in columns:
            rows: list[Row] = []
            for start in range(0, len(column), batch_size):
                rows += detect_rows(loaded, column.iloc[start : start + batch_size].tolist(), asked, options)
            values = [row.values() for row in rows]
            yield pd.DataFrame(
                {name: pd.Series([one[name] for one in values], dtype=object) for name in COLUMNS}
            )

    # Spark reads from these that it is called with an iterator of columns.
    predict.__annotations__ = {"columns": Iterator[pd.Series], "return": Iterator[pd.DataFrame]}
    return pandas_udf(predict, returnType=_struct())  # type: ignore[call-overload]


def map_in_arrow(
    items: Items,
    model: str = "wardrobe",
    *,
    image: str = "content",
    keep_image: bool = False,
    batch_size: int = 8,
    device: str = "auto",
    precision: str = "auto",
    threads: int = 1,
    shortest_edge: int = 0,
    longest_edge: int = 0,
    **options: Any,
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """A function for ``df.mapInArrow(function, schema_of(df))``: rows keep their columns and get SCHEMA's.

    image: the column of images, "content" of Spark's ``binaryFile``; keep_image: whether it stays, then also
    for ``schema_of``. The rest as for ``predict_batch_udf``.
    """
    arguments = {
        "model": model,
        "device": device,
        "precision": precision,
        "threads": threads,
        "shortest_edge": shortest_edge,
        "longest_edge": longest_edge,
    }
    asked = check_items(items)

    def function(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        loaded = model_of_process(arguments)
        check_arguments(loaded, asked, options)
        for whole in batches:
            for start in range(0, whole.num_rows, batch_size):
                batch = whole.slice(start, batch_size)
                rows = detect_rows(loaded, batch.column(image).to_pylist(), asked, options)
                columns = {
                    name: batch.column(name) for name in batch.schema.names if name != image or keep_image
                }
                yield pa.RecordBatch.from_pydict({**columns, **arrow_columns(rows)})

    return function


def schema_of(frame: Any, image: str = "content", keep_image: bool = False) -> StructType:
    """The schema of ``map_in_arrow``'s result for a DataFrame."""
    from pyspark.sql.types import StructType

    kept = [field for field in frame.schema.fields if field.name != image or keep_image]
    return StructType([*kept, *_struct().fields])


def _struct() -> StructType:
    """SCHEMA, without a running Spark, which parsing it would need."""
    from pyspark.sql import types

    texts, integers = types.ArrayType(types.StringType()), types.ArrayType(types.IntegerType())
    numbers = types.ArrayType(types.FloatType())
    kinds: list[types.DataType] = [texts, numbers, types.ArrayType(numbers), integers, texts]
    kinds += [types.IntegerType(), types.IntegerType(), types.StringType()]
    names = [one.split(" ")[0] for one in SCHEMA.split(", ")]
    return types.StructType([types.StructField(name, kind) for name, kind in zip(names, kinds)])
