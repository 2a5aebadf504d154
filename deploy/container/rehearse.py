#!/usr/bin/env python3
"""Follows the Dockerfile's steps for processors in a bare Debian root, where no container engine runs.

    sudo deploy/container/rehearse.py                     # both stages: builds everything in the root
    sudo deploy/container/rehearse.py --built FOLDER      # the second stage, with what build.sh left in FOLDER

Needs root, mmdebstrap and Debian's archive. Ends with 0 if the program then started in the root without
rights, its health check held, it cut up the sample photo, and SIGTERM ended it.
"""

import argparse
import base64
import http.client
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
MOUNTS = ("proc", "dev")
KEY = "a-key-for-this-rehearsal"


def steps(stage: str) -> list[tuple[str, str]]:
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "deploy/container/Dockerfile").read_text(), flags=re.M).replace(
        "\\\n", " "
    )
    found, current = [], None
    for line in filter(str.strip, text.splitlines()):
        instruction, argument = line.split(None, 1)
        if instruction == "FROM":
            current = argument.rsplit(" AS ", 1)[1]
        elif current == stage:
            found.append((instruction, argument))
    return found


class Stage:
    """One root and the state that a Dockerfile's steps change."""

    def __init__(self, folder: pathlib.Path):
        self.root = folder
        self.directory = "/"
        self.variables = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "DEBIAN_FRONTEND": "noninteractive",
        }
        self.user = None
        subprocess.run(["mmdebstrap", "--quiet", "--variant=minbase", "bookworm", folder], check=True)
        shutil.copy("/etc/resolv.conf", folder / "etc/resolv.conf")
        for name in MOUNTS:
            subprocess.run(["mount", "--bind", f"/{name}", folder / name], check=True)

    def close(self) -> None:
        for name in reversed(MOUNTS):
            subprocess.run(["umount", "--lazy", self.root / name], check=False)

    def command(self, words: list[str]) -> list[str]:
        user = [f"--userspec={self.user}"] if self.user else []
        variables = [f"{name}={value}" for name, value in self.variables.items()]
        inside = f"cd {shlex.quote(self.directory)} && exec {shlex.join(words)}"
        return ["chroot", *user, str(self.root), "/usr/bin/env", "-i", *variables, "/bin/sh", "-c", inside]

    def inside(self, path: str) -> pathlib.Path:
        return self.root / str(pathlib.PurePosixPath(self.directory) / path).lstrip("/")

    def follow(self, instruction: str, argument: str, sources: dict[str, pathlib.Path]) -> None:
        print(f"    {instruction} {argument[:100]}", flush=True)
        if instruction == "RUN":
            subprocess.run(self.command(["/bin/sh", "-ec", argument]), check=True, stdout=subprocess.DEVNULL)
        elif instruction == "COPY":
            words = argument.split()
            origin = sources[words.pop(0).removeprefix("--from=")] if words[0].startswith("--from=") else ROOT
            *names, target = words
            for name in names:
                self.copy(origin / name.lstrip("/"), target)
        elif instruction == "ENV":
            self.variables |= dict(word.split("=", 1) for word in shlex.split(argument))
        elif instruction == "USER":
            self.user = argument
        elif instruction == "WORKDIR":
            self.directory = argument
            self.inside("").mkdir(parents=True, exist_ok=True)

    def copy(self, source: pathlib.Path, target: str) -> None:
        into = self.inside(target)
        if source.resolve() == ROOT:
            names = subprocess.run(
                ["git", "-C", ROOT, "ls-files", "-z", "--", ".", ":!training", ":!tests", ":!bench"],
                check=True,
                capture_output=True,
                text=True,
            ).stdout.split("\0")
            for name in filter(None, names):
                (into / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, into / name)
        elif source.is_dir():
            shutil.copytree(source, into, dirs_exist_ok=True, symlinks=True)
        else:
            into = into / source.name if target.endswith("/") else into
            into.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, into)


def ask(port: int, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, path, body, {"Content-Type": "application/json", "X-API-Key": KEY})
    answer = connection.getresponse()
    return answer.status, answer.read()


def check(stage: Stage) -> None:
    instructions = dict(steps("cpu"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    stage.variables |= {"ITEMCROP_PORT": str(port), "ITEMCROP_API_KEYS": KEY}
    words = json.loads(instructions["ENTRYPOINT"]) + json.loads(instructions["CMD"])
    health = json.loads(instructions["HEALTHCHECK"].split(" CMD ")[1])
    ill = subprocess.run(stage.command(health), capture_output=True)
    assert ill.returncode != 0, "the health check passes without a server"
    started = time.monotonic()
    running = subprocess.Popen(stage.command(words))
    try:
        for _ in range(300):
            time.sleep(0.1)
            assert running.poll() is None, "the program ended"
            try:
                if ask(port, "GET", "/readyz")[0] == 200:
                    break
            except OSError:
                continue
        else:
            raise AssertionError("it is not ready after 30 s")
        print(f"    ready after {time.monotonic() - started:.1f} s")
        subprocess.run(stage.command(health), check=True)
        user = pathlib.Path(f"/proc/{running.pid}/status").read_text()
        assert re.search(r"^Uid:\s+10001\s", user, re.M), "it does not run as user 10001"
        photo = base64.b64encode((ROOT / "examples/wardrobe.jpg").read_bytes()).decode()
        status, answer = ask(
            port, "POST", "/crop", json.dumps({"imageBase64": photo, "categories": ["dress"]}).encode()
        )
        url = json.loads(answer).get("croppedImageUrl")
        assert status == 200 and url, answer
        assert ask(port, "GET", "/files/" + url.split("/files/")[1])[1].startswith(b"\xff\xd8\xff")
    finally:
        running.send_signal(signal.SIGTERM)
        ended = running.wait(30)
    assert ended == 0, f"SIGTERM: {ended}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--built", type=pathlib.Path, help="what deploy/container/build.sh installed")
    arguments = parser.parse_args()
    if os.geteuid() != 0 or not shutil.which("mmdebstrap"):
        sys.exit("needs root and mmdebstrap")
    stages = []
    with tempfile.TemporaryDirectory(prefix="itemcrop-rehearsal-") as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        try:
            sources = {"build-cpu": folder / "out"}
            if arguments.built:
                shutil.copytree(arguments.built, folder / "out/out", symlinks=True)
            else:
                print("build-cpu")
                stages.append(Stage(folder / "build"))
                sources["build-cpu"] = folder / "build"
                for step in steps("build-cpu"):
                    stages[-1].follow(*step, sources)
            print("cpu")
            stages.append(Stage(folder / "cpu"))
            for step in steps("cpu"):
                stages[-1].follow(*step, sources)
            check(stages[-1])
        finally:
            for stage in stages:
                stage.close()
    print("The rehearsal holds.")


if __name__ == "__main__":
    main()
