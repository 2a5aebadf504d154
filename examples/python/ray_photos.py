"""A folder or bucket of photos on a Ray cluster: a table in Parquet, and the crops as files.

Usage: python ray_photos.py PHOTOS "navy blazer, pants" OUT [ACTORS [GPUS_EACH]]
PHOTOS and OUT are folders that every node sees, or addresses such as s3://bucket/photos. A job that was
interrupted is started again with the same arguments: files are replaced by the same ones.
"""

import posixpath
import sys

import pyarrow.fs
import ray

import itemcrop.ray


class CropWriter:
    """Writes the column "crops" to OUT/crops and leaves the files' names in its place."""

    def __init__(self, out: str) -> None:
        self.files, path = pyarrow.fs.FileSystem.from_uri(out if "://" in out else posixpath.abspath(out))
        self.folder = posixpath.join(path, "crops")
        self.files.create_dir(self.folder, recursive=True)

    def __call__(self, batch: pyarrow.Table) -> pyarrow.Table:
        names = []
        for row in batch.select(["path", "labels", "crops"]).to_pylist():
            stem = posixpath.splitext(posixpath.basename(row["path"]))[0]
            names.append([])
            for number, (label, crop) in enumerate(zip(row["labels"], row["crops"]), 1):
                names[-1].append(f"{stem}_{number:02}_{label.replace(' ', '-')}.jpg")
                with self.files.open_output_stream(posixpath.join(self.folder, names[-1][-1])) as file:
                    file.write(crop)
        column = pyarrow.array(names, pyarrow.list_(pyarrow.string()))
        return batch.set_column(batch.schema.get_field_index("crops"), "crops", column)


def main(photos: str, items: str, out: str, actors: str = "2", gpus: str = "0") -> None:
    ray.init(ignore_reinit_error=True)
    # Reading waits for the network; with a whole CPU each, its tasks could wait for CPUs that the actors hold.
    table = ray.data.read_binary_files(photos, include_paths=True, ray_remote_args={"num_cpus": 0.25})
    table = table.map_batches(
        itemcrop.ray.Detector,
        fn_constructor_kwargs={"items": items, "crops": True},
        batch_format="pyarrow",
        batch_size=8,
        concurrency=int(actors),
        num_gpus=float(gpus),
        num_cpus=1,
    )
    table = table.map_batches(
        CropWriter, fn_constructor_kwargs={"out": out}, batch_format="pyarrow", concurrency=1, num_cpus=0.1
    )
    table.write_parquet(posixpath.join(out, "table"))


if __name__ == "__main__":
    main(*sys.argv[1:])
