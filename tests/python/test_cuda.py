"""How the CUDA module and cuBLASLt are found, without a GPU: in packages that are made here."""

import os

import pytest

import itemcrop
from itemcrop import _cuda, errors


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """itemcrop_cuda, and NVIDIA's wheels of CUDA 12 and 13."""
    (tmp_path / "itemcrop_cuda").mkdir()
    (tmp_path / "itemcrop_cuda" / "__init__.py").touch()
    (tmp_path / "itemcrop_cuda" / _cuda.MODULE).write_bytes(b"\x7fELF....libcublasLt.so.13\0libc.so.6\0")
    for folder, version in (("cublas", "12"), ("cu13", "13")):
        library = tmp_path / "nvidia" / folder / "lib" / f"libcublasLt.so.{version}"
        library.parent.mkdir(parents=True)
        library.write_bytes(b"a library")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delenv("ITEMCROP_CUDA_MODULE", raising=False)
    yield tmp_path
    os.environ.pop("ITEMCROP_CUDA_MODULE", None)


def test_the_module_and_the_version_it_needs_are_found(packages):
    module = _cuda.find_module()
    assert module == packages / "itemcrop_cuda" / _cuda.MODULE
    assert _cuda.needed_version(module) == "13"
    assert _cuda.find_cublaslt("13") == [packages / "nvidia" / "cu13" / "lib" / "libcublasLt.so.13"]
    assert _cuda.find_cublaslt("12") == [packages / "nvidia" / "cublas" / "lib" / "libcublasLt.so.12"]
    assert _cuda.find_cublaslt("11") == []


def test_cublaslt_is_opened_before_the_engine_opens_the_module(packages, monkeypatch):
    opened = []
    monkeypatch.setattr(_cuda.ctypes, "CDLL", opened.append)
    _cuda.prepare()
    assert os.environ["ITEMCROP_CUDA_MODULE"] == str(packages / "itemcrop_cuda" / _cuda.MODULE)
    assert opened == [str(packages / "nvidia" / "cu13" / "lib" / "libcublasLt.so.13")]
    _cuda.prepare()
    assert len(opened) == 1


def test_a_module_that_was_named_is_kept(packages, monkeypatch):
    monkeypatch.setenv("ITEMCROP_CUDA_MODULE", "/elsewhere.so")
    monkeypatch.setattr(_cuda.ctypes, "CDLL", lambda _: pytest.fail("nothing is to be opened"))
    _cuda.prepare()
    assert os.environ["ITEMCROP_CUDA_MODULE"] == "/elsewhere.so"


def test_a_library_that_cannot_be_opened_is_passed_over(packages):
    _cuda.prepare()  # the made library is no library: the system's may do


def test_without_a_gpu_the_reason_is_said():
    gpus = [device for device in itemcrop.devices() if device["device"] == "cuda"]
    if gpus and gpus[0]["usable"]:
        return
    assert gpus[0]["detail"]
    with pytest.raises(errors.UnsupportedDeviceError, match='device "cuda" cannot be used'):
        itemcrop.load(device="cuda")
