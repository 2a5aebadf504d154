"""deploy/: files that parse, agree with the program's settings and routes, and do what they say."""

import http.server
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import threading
import tomllib

import kubernetes_validate
import pytest
import yaml

import needs

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ["ITEMCROP_BIN"]
DEPLOY = ROOT / "deploy"
OPENAPI = json.loads((ROOT / "src" / "service" / "web" / "openapi.json").read_text())


def settings():
    """Names of the settings table."""
    source = ROOT / "src" / "service" / "requests" / "settings.cpp"
    names = set(re.findall(r'^    (?:text|secret|list|flag|number)\("(\w+)"', source.read_text(), re.M))
    assert len(names) > 40, "the table of settings is written in another way"
    return names


def manifests():
    return {
        path.relative_to(DEPLOY).as_posix(): [
            document for document in yaml.safe_load_all(path.read_text()) if document
        ]
        for path in sorted((DEPLOY / "kubernetes").rglob("*.yaml"))
    }


def one(kind):
    found = [
        document
        for path, documents in manifests().items()
        if "/gpu/" not in path
        for document in documents
        if document["kind"] == kind
    ]
    assert len(found) == 1, kind
    return found[0]


def config_of(arguments, variables=None):
    """What `itemcrop ARGUMENTS` would run with, as the program itself says."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ITEMCROP_")}
    ran = subprocess.run(
        [BINARY, *arguments, "--print-config"],
        capture_output=True,
        text=True,
        env={**environment, **(variables or {})},
    )
    assert ran.returncode == 0, ran.stderr
    return tomllib.loads(ran.stdout)


# ---- settings everywhere are settings of the program --------------------------------------


def test_variables_are_settings():
    known = {"ITEMCROP_" + name.upper() for name in settings()}
    known |= {
        "ITEMCROP_S3_",
        "ITEMCROP_MODAL_",
        "ITEMCROP_BUILD_FOLDER",
        "ITEMCROP_CUDA",
        "ITEMCROP_TESTS",
        "ITEMCROP_BENCH",
        "ITEMCROP_KEY",
    }
    for path in DEPLOY.rglob("*"):
        if path.is_file() and path.suffix != ".pyc":
            for name in re.findall(r"ITEMCROP_[A-Z0-9_]+", path.read_text()):
                assert name in known or name.startswith("ITEMCROP_MODAL_"), f"{path.name}: {name}"


def test_the_guide_names_real_settings_routes_and_metrics():
    guide = (DEPLOY / "GUIDE.md").read_text()
    names = settings()
    for name in re.findall(r"`([a-z0-9]+(?:_[a-z0-9]+)+)(?: = [^`]*)?`", guide):
        assert (
            name in names
            or name.startswith(("itemcrop_", "process_"))
            or name in {"request_id", "out_of_memory", "deadline_ms", "not_found", "bad_image_url"}
        ), name
    for path in re.findall(r"`(?:GET |POST )?(/[a-z0-9/*…]*)`", guide):
        first = "/" + path.split("/")[1].rstrip("*…")
        assert any(route == path or route.startswith(first) for route in OPENAPI["paths"]) or path.startswith(
            ("/var/", "/usr/", "/etc/")
        ), path
    described = OPENAPI["paths"]["/metrics"]["get"]["responses"]["200"]["description"]
    for metric in set(re.findall(r"\b(itemcrop_[a-z_]+|process_[a-z_]+)\b", guide)):
        base = re.sub(r"_(bucket|sum|count)$", "", metric)
        assert base in described or base.startswith("process_"), metric
    for target in re.findall(r"\]\(#([a-z-]+)\)", guide):
        titles = [
            re.sub(r"[^a-z -]", "", title.lower()).replace(" ", "-")
            for title in re.findall(r"^## (.*)$", guide, re.M)
        ]
        assert target in titles, target
    for path in re.findall(r"(?<![\w/])(deploy/[\w./-]+\w|examples/[\w./-]+\w|scripts/[\w./-]+\w)", guide):
        assert (ROOT / path).exists(), path


# ---- Kubernetes ---------------------------------------------------------------------------


def test_manifests_are_valid():
    """Against the published schemas."""
    for path, documents in manifests().items():
        for document in documents:
            if document["kind"] != "Kustomization" and path != "kubernetes/gpu/gpu.yaml":
                kubernetes_validate.validate(document, "1.30", strict=True)


def test_kustomizations_list_every_file():
    listed = yaml.safe_load((DEPLOY / "kubernetes" / "cpu" / "kustomization.yaml").read_text())["resources"]
    files = {path.name for path in (DEPLOY / "kubernetes" / "cpu").glob("*.yaml")} - {"kustomization.yaml"}
    assert set(listed) == files
    gpu = yaml.safe_load((DEPLOY / "kubernetes" / "gpu" / "kustomization.yaml").read_text())
    for patch in gpu["patches"]:
        assert (DEPLOY / "kubernetes" / "gpu" / patch["path"]).exists()


def test_the_parts_find_each_other():
    deployment, service, scaler = one("Deployment"), one("Service"), one("HorizontalPodAutoscaler")
    pod = deployment["spec"]["template"]
    for selector in (
        deployment["spec"]["selector"]["matchLabels"],
        service["spec"]["selector"],
        one("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        one("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
    ):
        assert selector.items() <= pod["metadata"]["labels"].items()
    assert scaler["spec"]["scaleTargetRef"] == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": deployment["metadata"]["name"],
    }
    (container,) = pod["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert service["spec"]["ports"][0]["targetPort"] in ports
    volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes
    assert one("ConfigMap")["metadata"]["name"] in [
        volume["configMap"]["name"] for volume in pod["spec"]["volumes"] if "configMap" in volume
    ]
    file = tomllib.loads(one("ConfigMap")["data"]["itemcrop.toml"])
    assert set(file) <= settings()
    assert file["port"] == ports["http"] and file["host"] == "0.0.0.0"


def test_the_pod_starts_the_program(tmp_path):
    file = tmp_path / "itemcrop.toml"
    file.write_text(one("ConfigMap")["data"]["itemcrop.toml"])
    (container,) = one("Deployment")["spec"]["template"]["spec"]["containers"]
    arguments = [str(file) if word.endswith("/itemcrop.toml") else word for word in container["args"]]
    assert str(file) in arguments and config_of(arguments)["log_format"] == "json"


def test_probes_limits_and_rights():
    pod = one("Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    for probe, path in [
        ("startupProbe", "/readyz"),
        ("readinessProbe", "/readyz"),
        ("livenessProbe", "/healthz"),
    ]:
        assert container[probe]["httpGet"]["path"] == path and path in OPENAPI["paths"]
    # A lost device is out of the rotation soon, and the drain has its time.
    assert (
        container["readinessProbe"]["periodSeconds"] <= 2
        and container["readinessProbe"]["failureThreshold"] == 1
    )
    assert pod["terminationGracePeriodSeconds"] >= 25
    security = container["securityContext"]
    assert security["readOnlyRootFilesystem"] and not security["allowPrivilegeEscalation"]
    assert security["capabilities"]["drop"] == ["ALL"] and pod["securityContext"]["runAsNonRoot"]
    assert "memory" in container["resources"]["limits"]
    gpu = manifests()["kubernetes/gpu/gpu.yaml"][0]["spec"]["template"]["spec"]["containers"][0]
    assert gpu["resources"]["limits"]["nvidia.com/gpu"] == "1"


def test_it_scales_on_the_queue():
    metric = one("HorizontalPodAutoscaler")["spec"]["metrics"][0]["pods"]["metric"]["name"]
    assert metric in OPENAPI["paths"]["/metrics"]["get"]["responses"]["200"]["description"]


def test_kustomize_builds():
    kubectl = shutil.which("kubectl")
    said = (
        subprocess.run([kubectl, "version", "--client", "-o", "json"], capture_output=True)
        if kubectl
        else None
    )
    minor = json.loads(said.stdout)["clientVersion"]["minor"] if said else "0"
    if int(minor.rstrip("+")) < 21:
        pytest.skip("no kubectl 1.21 or later, which Debian does not have: kustomize did not build deploy/")
    for folder in ("kubernetes/cpu", "kubernetes/gpu"):
        ran = subprocess.run([kubectl, "kustomize", DEPLOY / folder], capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        kinds = [document["kind"] for document in yaml.safe_load_all(ran.stdout)]
        assert "Deployment" in kinds and ("nvidia.com/gpu" in ran.stdout) == folder.endswith("gpu")


# ---- systemd ------------------------------------------------------------------------------


@pytest.fixture
def unit(tmp_path):
    text = (DEPLOY / "systemd" / "itemcrop.service").read_text()
    path = tmp_path / "itemcrop.service"
    # The program is not installed where this is tested.
    path.write_text(
        text.replace("/usr/local/bin/itemcrop", "/bin/true").replace("Documentation=man:itemcrop(1)\n", "")
    )
    return path


def analyze(*arguments):
    program = needs.program("systemd-analyze", "systemd")
    return subprocess.run([program, *map(str, arguments)], capture_output=True, text=True)


def test_the_unit_is_valid(unit):
    ran = analyze("verify", "--man=no", unit)
    assert ran.returncode == 0 and not ran.stderr.strip(), ran.stderr


def test_the_unit_starts_the_program(tmp_path):
    text = (DEPLOY / "systemd" / "itemcrop.service").read_text()
    file = tmp_path / "itemcrop.toml"
    file.write_text("max_queued = 7\n")
    words = (
        re.search(r"^ExecStart=/usr/local/bin/itemcrop (.*)$", text, re.M)[1]
        .replace("/etc/itemcrop/itemcrop.toml", str(file))
        .split()
    )
    variables = dict(re.findall(r"^Environment=(ITEMCROP_\w+)=(.*)$", text, re.M))
    settings = config_of(words, variables)
    assert settings["max_queued"] == 7 and settings["data_folder"] == "/var/lib/itemcrop/data"


def test_the_unit_is_hardened(unit):
    ran = analyze("security", "--offline=true", "--threshold=20", unit)
    assert ran.returncode == 0, ran.stdout[-400:]


def test_the_unit_gives_the_drain_its_time():
    text = (DEPLOY / "systemd" / "itemcrop.service").read_text()
    assert int(re.search(r"TimeoutStopSec=(\d+)", text)[1]) > 20
    assert "Restart=on-failure" in text and "KillSignal=SIGTERM" in text and "DynamicUser=yes" in text


# ---- container ----------------------------------------------------------------------------


def stages():
    """{stage: [(instruction, argument)]} of the Dockerfile."""
    text = re.sub(r"^\s*#.*\n", "", (DEPLOY / "container" / "Dockerfile").read_text(), flags=re.M)
    text = text.replace("\\\n", " ")
    found, current = {}, None
    for line in text.splitlines():
        if not line.strip():
            continue
        instruction, argument = line.split(None, 1)
        if instruction == "FROM":
            current = re.search(r" AS (\S+)$", argument)[1]
            found[current] = []
        if current:
            found[current].append((instruction, argument))
    return found


@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_the_image_starts_the_program(target):
    said = stages()[target]
    variables = dict(
        pair.split("=", 1)
        for instruction, argument in said
        if instruction == "ENV"
        for pair in argument.split()
    )
    settings = config_of(json.loads(dict(said)["CMD"]), variables)
    assert settings["host"] == "0.0.0.0" and settings["port"] == 8000


@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_the_image_is_careful(target):
    stage = stages()[target]
    said = dict(stage)
    assert said["USER"] == "10001:10001", "root"
    assert said["HEALTHCHECK"].endswith('CMD ["itemcrop-healthcheck"]')
    assert said["STOPSIGNAL"] == "SIGTERM" and said["EXPOSE"] == "8000"
    assert json.loads(said["ENTRYPOINT"]) == ["itemcrop"] and json.loads(said["CMD"]) == ["serve"]
    runs = " ".join(argument for instruction, argument in stage if instruction == "RUN")
    assert "install.sh" not in runs, "build tools in the image that runs"
    assert [i for i, _ in stage].index("USER") > max(
        at for at, (i, _) in enumerate(stage) if i in ("RUN", "COPY")
    )
    for instruction, argument in stages()[f"build-{target}"] + stage:
        if instruction == "COPY" and not argument.startswith("--from"):
            for source in argument.split()[:-1]:
                assert (ROOT / source).exists(), source


def test_scripts_are_shell():
    shellcheck = needs.program("shellcheck", "shellcheck")
    for script in (DEPLOY / "container").glob("*.sh"):
        assert os.access(script, os.X_OK)
        assert subprocess.run(["bash", "-n", script]).returncode == 0
        ran = subprocess.run([shellcheck, script], capture_output=True, text=True)
        assert ran.returncode == 0, ran.stdout


def test_the_health_check_tells_well_from_ill():
    class Handler(http.server.BaseHTTPRequestHandler):
        status = 200

        def do_GET(self):
            assert self.path == "/healthz"
            self.send_response(Handler.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments):
            pass

        protocol_version = "HTTP/1.1"

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = str(server.server_address[1])

    def check(port):
        return subprocess.run(
            [DEPLOY / "container" / "healthcheck.sh"],
            env={**os.environ, "ITEMCROP_PORT": port},
            capture_output=True,
            timeout=10,
        ).returncode

    assert check(port) == 0
    Handler.status = 503
    assert check(port) != 0
    server.shutdown()
    server.server_close()
    assert check(port) != 0


# ---- Modal --------------------------------------------------------------------------------

LOAD = """
import importlib.util, socket, sys
def refuse(*arguments): raise OSError("no network in this test")
socket.socket.connect = refuse
spec = importlib.util.spec_from_file_location("modal_app", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
print(module.app.name, module.PORT, type(module.image).__name__, type(module.serve).__name__, type(module.main).__name__)
"""


STARTED = """
import json, subprocess
def started(words, **more): print("started", json.dumps(words))
subprocess.Popen = started
module.serve.local()
"""


@pytest.mark.parametrize("gpu", ["L4", "H100", "none"])
def test_the_modal_app_is_defined_offline(tmp_path, gpu):
    ran = subprocess.run(
        [sys.executable, "-c", LOAD, DEPLOY / "modal_app.py"],
        capture_output=True,
        text=True,
        timeout=120,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "ITEMCROP_MODAL_GPU": gpu},
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split() == ["itemcrop", "8000", "Image", "Function", "LocalEntrypoint"]
    assert "Error" not in ran.stderr, ran.stderr


def test_the_modal_app_starts_the_program(tmp_path):
    ran = subprocess.run(
        [sys.executable, "-c", LOAD + STARTED, DEPLOY / "modal_app.py"],
        capture_output=True,
        text=True,
        timeout=120,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "ITEMCROP_MODAL_MODEL": "Some-One/closet"},
    )
    assert ran.returncode == 0, ran.stderr
    words = json.loads(re.search(r"^started (.*)$", ran.stdout, re.M)[1])
    assert words[0] == "itemcrop" and config_of(words[1:])["model"] == ["Some-One/closet"]


@pytest.mark.parametrize("store, most", [("none", 10), ("s3", 10), ("local", 1)])
def test_modal_containers_never_share_a_local_store(tmp_path, store, most):
    shown = 'print("settings", json.dumps([module.MOST_CONTAINERS, module.SETTINGS]))'
    ran = subprocess.run(
        [sys.executable, "-c", f"import json\n{LOAD}\n{shown}", DEPLOY / "modal_app.py"],
        capture_output=True,
        text=True,
        timeout=120,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "ITEMCROP_MODAL_STORE": store},
    )
    assert ran.returncode == 0, ran.stderr
    containers, settings = json.loads(re.search(r"^settings (.*)$", ran.stdout, re.M)[1])
    assert containers == most and settings["ITEMCROP_STORE"] == store
    assert "ITEMCROP_CORS_ORIGINS" not in settings, "the guide says that the secret opens it"
    assert settings["ITEMCROP_DATA_FOLDER"].startswith("/data/") == (store == "local")


def test_the_guide_passes_keys_that_are_set():
    """`-e NAME` passes nothing where NAME is not set."""
    guide = (DEPLOY / "GUIDE.md").read_text()
    runs = [line for line in guide.splitlines() if line.startswith("docker run")]
    assert len(runs) == 2 and all('-e ITEMCROP_API_KEYS="${ITEMCROP_API_KEYS:?}"' in line for line in runs)
    assert "T4" not in guide + (DEPLOY / "modal_app.py").read_text(), "T4 has compute capability 7.5"


def test_the_modal_app_names_what_exists():
    source = (DEPLOY / "modal_app.py").read_text()
    for path in re.findall(r'ROOT / "(\w+)" / "([\w.]+)"', source):
        assert (ROOT / path[0] / path[1]).exists(), path
    assert "deploy/container/build.sh" in source and (DEPLOY / "container" / "build.sh").exists()
