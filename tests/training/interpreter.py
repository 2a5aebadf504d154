"""Triton's interpreter, which runs kernels without a GPU. It has to be chosen before Triton is imported, hence in
a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def mend() -> None:
    """Loop bounds of Triton 3.6's interpreter are arrays of one number, which NumPy 2.4 takes for no index."""
    from triton.runtime import interpreter

    patch = interpreter._patch_lang_tensor

    def patch_more(tensor, scope):
        patch(tensor, scope)
        scope.set_attr(tensor, "__index__", lambda self: self.handle.data.item())

    interpreter._patch_lang_tensor = patch_more


def run(file: str) -> None:
    """Runs a test file as a program with the interpreter chosen; it has to begin with ``mend()``."""
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, file], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
