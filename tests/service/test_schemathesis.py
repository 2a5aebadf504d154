"""Requests made from openapi.json by schemathesis."""

import os
import subprocess

import needs
from conftest import SLOWNESS

# Examples name images at example.com, which cannot be had, and deadlines of 1 ms: 502 and 504 are
# right.
SETTINGS = """
[checks]
not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", 502, 504]
# That base64 is an image is more than a schema says.
positive_data_acceptance.enabled = false
"""


def test_schemathesis(server, tmp_path):
    settings = tmp_path / "schemathesis.toml"
    settings.write_text(SETTINGS)
    ended = subprocess.run(
        [
            needs.python_tool("schemathesis"),
            "--config-file",
            settings,
            "run",
            f"{server.url}/openapi.json",
            # "coverage" is a hundred requests more to the model, for when there is time.
            "--phases",
            os.environ.get("SCHEMATHESIS_PHASES", "examples,fuzzing"),
            "--max-examples",
            os.environ.get("SCHEMATHESIS_EXAMPLES", "20"),
            # Jobs made of noise would be worked on while the rest is asked.
            "--exclude-path-regex",
            "^/v1/jobs$",
            "--suppress-health-check",
            "all",
            "--request-timeout",
            "60",
            "--seed",
            "1",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600 * SLOWNESS,
    )
    assert ended.returncode == 0, ended.stdout[-6000:] + ended.stderr[-2000:]
