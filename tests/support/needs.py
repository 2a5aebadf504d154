"""What tests need from the machine. What is missing fails the test and names its package."""

import os
import pathlib
import shutil

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PYTHON_TOOLS = pathlib.Path(os.environ.get("ITEMCROP_PYTHON_TOOLS", ROOT / "build" / "python"))


def program(name, package):
    """The path of a program that a Debian package brings."""
    path = shutil.which(name)
    if path is None:
        pytest.fail(
            f"'{name}' is missing: install the package {package} (bash scripts/install.sh test)",
            pytrace=False,
        )
    return path


def python_tool(name):
    """A program of the environment that scripts/python_tools.sh makes."""
    path = PYTHON_TOOLS / "bin" / name
    if not path.exists():
        pytest.fail(f"'{path}' is missing: bash scripts/python_tools.sh", pytrace=False)
    return path
