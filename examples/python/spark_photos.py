"""A folder of photos by Spark: a table in Parquet.

Usage: spark-submit spark_photos.py PHOTOS "navy blazer, pants" OUT
PHOTOS and OUT are what Spark reads and writes: folders, s3a://, hdfs://.
"""

import sys

from pyspark.sql import SparkSession

import itemcrop.spark


def main(photos: str, items: str, out: str) -> None:
    spark = SparkSession.builder.appName("itemcrop").getOrCreate()
    files = spark.read.format("binaryFile").option("recursiveFileLookup", "true").load(photos)
    files = files.select("path", "content")
    function = itemcrop.spark.map_in_arrow(items)
    table = files.mapInArrow(function, itemcrop.spark.schema_of(files))
    table.write.mode("overwrite").parquet(out)
    spark.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
