"""Finds the CUDA module of the package itemcrop-cuda, and the cuBLASLt that it needs in NVIDIA's wheels.

The engine opens the module named by ITEMCROP_CUDA_MODULE (src/backend/cuda/cuda_module.cpp). The loader takes
a library that is open already for the one that the module asks for, so cuBLASLt is opened first.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import pathlib
import re

MODULE = "libitemcrop_cuda.so"


def prepare() -> None:
    """Once, before the engine looks for devices. Does nothing without itemcrop-cuda, or where
    ITEMCROP_CUDA_MODULE is set already."""
    if "ITEMCROP_CUDA_MODULE" in os.environ:
        return
    module = find_module()
    if module is None:
        return
    os.environ["ITEMCROP_CUDA_MODULE"] = str(module)
    for library in find_cublaslt(needed_version(module)):
        try:
            ctypes.CDLL(str(library))
            return
        except OSError:  # of another CUDA, or without a library of its own: the next, or the system's
            continue


def find_module() -> pathlib.Path | None:
    """The module in the package itemcrop_cuda; the package is not imported."""
    spec = importlib.util.find_spec("itemcrop_cuda")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (module := pathlib.Path(folder) / MODULE).is_file():
            return module
    return None


def needed_version(module: pathlib.Path) -> str:
    """The "13" of the "libcublasLt.so.13" that the module was linked to, or ""."""
    found = re.search(rb"libcublasLt\.so\.(\d+)", module.read_bytes())
    return found[1].decode() if found else ""


def find_cublaslt(version: str) -> list[pathlib.Path]:
    """cuBLASLt of that version in NVIDIA's wheels: nvidia/cublas/lib (CUDA 12) or nvidia/cu13/lib."""
    spec = importlib.util.find_spec("nvidia")
    folders = [pathlib.Path(folder) for folder in (spec.submodule_search_locations or [])] if spec else []
    return [
        found for folder in folders for found in sorted(folder.glob(f"*/lib/libcublasLt.so.{version or '*'}"))
    ]
