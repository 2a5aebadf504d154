#!/usr/bin/env bash
# Makes a virtual environment with the S3 server, once a build folder, and runs the tests in it.
# Usage: tests/store/run.sh PYTHON VENV
set -euo pipefail
python=$1
venv=$2

if [[ ! -e $venv/ready ]]; then
  rm -rf "$venv"
  # pytest is the system's.
  if ! "$python" -m venv --system-site-packages "$venv" ||
    ! "$venv/bin/pip" install --quiet --disable-pip-version-check \
      'moto[s3]>=5,<6' 'flask>=3,<4' 'flask-cors>=4'; then
    echo "cannot install the S3 server" >&2
    [[ ${ITEMCROP_REQUIRE_S3_SERVER:-} == 1 ]] && exit 1
    exit 77
  fi
  touch "$venv/ready"
fi
exec "$venv/bin/python" -m pytest -q -p no:cacheprovider "$(dirname "${BASH_SOURCE[0]}")"
