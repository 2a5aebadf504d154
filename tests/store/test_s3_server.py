"""S3Store against moto, which checks signatures as Amazon does, with and without faults between."""

import collections
import contextlib
import http.client
import http.server
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
import urllib.request

import boto3
import pytest
from botocore.config import Config

PUT = os.environ["ITEMCROP_S3_PUT"]
os.environ["no_proxy"] = os.environ["NO_PROXY"] = "*"
REGION = "us-east-1"


def client(server, service, access="setup", secret="setup"):
    return boto3.client(
        service,
        endpoint_url=server,
        region_name=REGION,
        aws_access_key_id=access,
        aws_secret_access_key=secret,
        config=Config(s3={"addressing_style": "path"}, proxies={}),
    )


@pytest.fixture(scope="session")
def server():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "INITIAL_NO_AUTH_ACTION_COUNT": "1000000"},
    )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(url + "/moto-api/", timeout=5).close()
                break
            except OSError:
                assert process.poll() is None, "moto ended"
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="session")
def keys(server):
    """A user who may use S3. From here on moto checks every signature."""
    iam = client(server, "iam")
    iam.create_user(UserName="itemcrop")
    key = iam.create_access_key(UserName="itemcrop")["AccessKey"]
    iam.put_user_policy(
        UserName="itemcrop",
        PolicyName="s3",
        PolicyDocument=json.dumps(
            {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
        ),
    )
    client(server, "s3").create_bucket(Bucket="crops")
    request = urllib.request.Request(
        server + "/moto-api/reset-auth", data=b"0", method="POST", headers={"Content-Type": "text/plain"}
    )
    urllib.request.urlopen(request, timeout=10).close()
    return key["AccessKeyId"], key["SecretAccessKey"]


def put(endpoint, keys, prefix, count=1, threads=1, deadline_ms=5000, style="path", bucket="crops"):
    run = subprocess.run(
        [PUT, endpoint, bucket, prefix, str(count), str(threads), str(deadline_ms), style],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "S3_ACCESS_KEY": keys[0], "S3_SECRET_KEY": keys[1]},
    )
    assert run.stderr == "" and keys[1] not in run.stdout
    return run


def content_of(number):
    return b"object %d\n" % number + bytes([ord("a") + number % 26]) * (97 * number)


def objects(server, keys, prefix):
    s3 = client(server, "s3", *keys)
    found = {}
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket="crops", Prefix=prefix):
        for entry in page.get("Contents", []):
            answer = s3.get_object(Bucket="crops", Key=entry["Key"])
            found[entry["Key"]] = (answer["Body"].read(), answer["ContentType"], answer.get("CacheControl"))
    return found


@pytest.mark.parametrize("style", ["path", "virtual"])
def test_objects_arrive_whole(server, keys, style):
    endpoint = server if style == "path" else server.replace("127.0.0.1", "localhost")
    run = put(endpoint, keys, f"{style}/", count=5, style=style)
    assert run.returncode == 0, run.stdout
    host = endpoint.replace("http://", "http://crops.") if style == "virtual" else endpoint + "/crops"
    assert sorted(run.stdout.splitlines()) == [f"item-{n}.jpg {host}/{style}/item-{n}.jpg" for n in range(5)]
    assert objects(server, keys, f"{style}/") == {
        f"{style}/item-{n}.jpg": (content_of(n), "image/jpeg", "public, max-age=60") for n in range(5)
    }


def test_the_server_really_checks_signatures(server, keys):
    run = put(server, (keys[0], "wrong" + keys[1]), "wrong/")
    assert run.returncode == 1
    assert "status 403" in run.stdout
    run = put(server, ("AKIANOBODY", keys[1]), "wrong/")
    assert run.returncode == 1 and "status 403" in run.stdout
    assert objects(server, keys, "wrong/") == {}


def test_a_missing_bucket_is_said(server, keys):
    run = put(server, keys, "x/", bucket="nowhere")
    assert run.returncode == 1 and "bucket 'nowhere' answered with status 404" in run.stdout


class FaultyProxy:
    """Passes requests on, except that three of ten fail in one of four ways."""

    def __init__(self, server, seed):
        chance = random.Random(seed)
        host = server.removeprefix("http://")
        lock = threading.Lock()
        self.faults = collections.Counter()
        faults = self.faults

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_PUT(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                with lock:
                    fault = (
                        chance.choice(["reset", "refuse", "lose", "hang"])
                        if chance.random() < 0.3
                        else "none"
                    )
                    faults[fault] += 1
                if fault == "reset":
                    self.close_connection = True
                    return
                if fault == "hang":
                    time.sleep(1)
                    self.close_connection = True
                    return
                if fault == "refuse":
                    self.reply(503, b"<Error><Code>SlowDown</Code></Error>")
                    return
                connection = http.client.HTTPConnection(host, timeout=30)
                connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                for name, value in self.headers.items():
                    connection.putheader(name, value)
                connection.endheaders(body)
                answer = connection.getresponse()
                content = answer.read()
                connection.close()
                if fault == "lose":  # it was stored, but the client does not learn it
                    self.close_connection = True
                    return
                self.reply(answer.status, content)

            do_HEAD = do_PUT

            def reply(self, status, body):
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def log_message(self, *_):
                pass

            def handle(self):
                with contextlib.suppress(OSError):
                    super().handle()

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_is_lost_or_duplicated_when_30_percent_of_tries_fail(server, keys, seed):
    count = 100
    with FaultyProxy(server, seed) as proxy:
        run = put(proxy.url, keys, f"faults-{seed}/", count=count, threads=4, deadline_ms=500)
    assert run.returncode == 0, run.stdout
    assert sorted(run.stdout.splitlines()) == sorted(
        f"item-{n}.jpg {proxy.url}/crops/faults-{seed}/item-{n}.jpg" for n in range(count)
    )
    assert objects(server, keys, f"faults-{seed}/") == {
        f"faults-{seed}/item-{n}.jpg": (content_of(n), "image/jpeg", "public, max-age=60")
        for n in range(count)
    }
    failed = sum(proxy.faults.values()) - proxy.faults["none"]
    assert failed >= 25 and all(proxy.faults[kind] > 0 for kind in ["reset", "refuse", "lose", "hang"])
