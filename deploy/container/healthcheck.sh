#!/usr/bin/env bash
# Exit code 0 if the service is alive. Needs bash alone.
set -euo pipefail
exec 3<>"/dev/tcp/127.0.0.1/${ITEMCROP_PORT:-8000}"
printf 'GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' >&3
read -r -t 4 line <&3
[[ $line == "HTTP/1.1 200"* ]]
