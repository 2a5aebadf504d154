"""Requests made from openapi.json by schemathesis; scripts/schemathesis.sh sets its environment up."""

import os
import pathlib
import subprocess

import pytest

from conftest import ROOT, SLOWNESS

PROGRAM = pathlib.Path(os.environ.get("SCHEMATHESIS", ROOT / "build" / "schemathesis" / "bin" / "schemathesis"))


@pytest.mark.skipif(not PROGRAM.exists(), reason="schemathesis is not installed (bash scripts/schemathesis.sh)")
def test_schemathesis(server, tmp_path):
    ended = subprocess.run(
        [PROGRAM, "run", f"{server.url}/openapi.json", "--checks",
         "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,"
         "response_headers_conformance",
         # 405 of TRACE and the like is the introduction's, not a route's.
         "--phases", "examples,fuzzing", "--max-examples", os.environ.get("SCHEMATHESIS_EXAMPLES", "8"),
         # A stream of a job that does not end, or a job that works on, would only take time.
         "--exclude-path-regex", "^/v1/jobs$", "--suppress-health-check", "all",
         "--request-timeout", "60", "--seed", "1"],
        cwd=tmp_path, capture_output=True, text=True, timeout=600 * SLOWNESS)
    assert ended.returncode == 0, ended.stdout[-6000:] + ended.stderr[-2000:]
