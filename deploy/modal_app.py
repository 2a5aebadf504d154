"""itemcrop on Modal: a GPU, the native program, a volume for models.

    modal run deploy/modal_app.py            the device's and the model's tests, on the GPU
    modal deploy deploy/modal_app.py         serves https://WORKSPACE--itemcrop-serve.modal.run
    modal run deploy/modal_app.py::pull --model IDEA-Research/grounding-dino-tiny

What may be chosen by the environment, when deploying:
    ITEMCROP_MODAL_GPU       L4 (default), A10G, L40S, A100, H100 ... (compute capability 8.0 and later),
                             or none for processors
    ITEMCROP_MODAL_MODEL     wardrobe (default) or OWNER/NAME, pulled into the volume first
    ITEMCROP_MODAL_WARM      containers kept waiting (default 0: pay nothing while idle)
    ITEMCROP_MODAL_STORE     none (default): crops come back in the answers; s3: a bucket, whose ITEMCROP_S3_...
                             are in the secret; local: the volume, with one container only
    ITEMCROP_MODAL_SECRET    name of a Modal secret with ITEMCROP_API_KEYS (needed to serve) and the like
"""

import json
import os
import pathlib
import subprocess

import modal

HERE = pathlib.Path(__file__).resolve()
# In a container this file lies alone; the source tree is needed where the image is defined.
ROOT = HERE.parent.parent if modal.is_local() else pathlib.Path("/src")

GPU = os.environ.get("ITEMCROP_MODAL_GPU", "L4")
MODEL = os.environ.get("ITEMCROP_MODAL_MODEL", "wardrobe")
WARM = int(os.environ.get("ITEMCROP_MODAL_WARM", "0"))
STORE = os.environ.get("ITEMCROP_MODAL_STORE", "none")
SECRET = os.environ.get("ITEMCROP_MODAL_SECRET", "")
CUDA = "nvidia/cuda:12.6.3-devel-ubuntu24.04"

PORT = 8000
MODELS = "/models"
DATA = "/data"
# A crop in one container's folder cannot be fetched from another's.
MOST_CONTAINERS = 1 if STORE == "local" else 10
LEFT_OUT = [
    ".git",
    "build",
    "build-*",
    "out",
    "crops",
    ".venv",
    "training",
    "tests",
    "bench",
    "**/__pycache__",
]
SETTINGS = {
    "ITEMCROP_HOST": "0.0.0.0",
    "ITEMCROP_PORT": str(PORT),
    "ITEMCROP_LOG_FORMAT": "json",
    "ITEMCROP_STORE": STORE,
    # The journal of jobs belongs to one container, and a volume is not shared while it is written.
    "ITEMCROP_DATA_FOLDER": f"{DATA}/itemcrop" if STORE == "local" else "/var/lib/itemcrop",
    "HF_HOME": MODELS,
    # What was chosen where the app was deployed must hold where it runs.
    "ITEMCROP_MODAL_GPU": GPU,
    "ITEMCROP_MODAL_MODEL": MODEL,
    "ITEMCROP_MODAL_WARM": str(WARM),
    "ITEMCROP_MODAL_STORE": STORE,
    "ITEMCROP_MODAL_SECRET": SECRET,
}


def make_image() -> modal.Image:
    """The program, built once where it will run."""
    with_gpu = GPU != "none"
    base = (
        modal.Image.from_registry(CUDA, add_python="3.11")
        if with_gpu
        else modal.Image.from_registry("debian:12-slim", add_python="3.11")
    )
    flags = " -DITEMCROP_CUDA=ON" if with_gpu else ""
    return (
        base.entrypoint([])
        # First what changes seldom, so that an edit of the source does not install again.
        .add_local_file(ROOT / "scripts" / "install.sh", "/setup/install.sh", copy=True)
        .run_commands("bash /setup/install.sh build")
        .add_local_dir(ROOT, "/src", copy=True, ignore=LEFT_OUT)
        .run_commands(
            f"bash /src/deploy/container/build.sh /out{flags}",
            "cp -a /out/usr/local/. /usr/local/ && rm -rf /out /src/build",
        )
        .env(SETTINGS)
    )


app = modal.App("itemcrop")
image = make_image()
models = modal.Volume.from_name("itemcrop-models", create_if_missing=True)
data = modal.Volume.from_name("itemcrop-data", create_if_missing=True)
common = {
    "image": image,
    "gpu": None if GPU == "none" else GPU,
    "volumes": {MODELS: models, DATA: data},
    "secrets": [modal.Secret.from_name(SECRET)] if SECRET else [],
}


# 64 requests a container: the program queues and batches them itself, and says 429 beyond.
@app.function(
    **common,
    cpu=4,
    memory=4096,
    min_containers=WARM,
    max_containers=MOST_CONTAINERS,
    scaledown_window=120,
    timeout=600,
)
@modal.concurrent(max_inputs=64, target_inputs=32)
@modal.web_server(PORT, startup_timeout=120)
def serve():
    subprocess.Popen(["itemcrop", "serve", "--model", MODEL])


@app.function(**common, timeout=600)
def device_test() -> str:
    """What the program sees of the machine, and its timed self-test."""
    return subprocess.run(["itemcrop", "doctor"], check=True, capture_output=True, text=True).stdout


@app.function(**common, timeout=600)
def inference_test(photo: bytes, items: str, device: str) -> dict:
    """The photo's items on the device, as results.json has them."""
    pathlib.Path("/tmp/photo.jpg").write_bytes(photo)
    ran = subprocess.run(
        ["itemcrop", "detect", "/tmp/photo.jpg", "--items", items, "--model", MODEL, "--device", device],
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(ran.stdout)


@app.function(**common, timeout=3600)
def pull_model(model: str):
    subprocess.run(["itemcrop", "models", "pull", model], check=True)
    models.commit()


@app.local_entrypoint()
def main(photo: str = "", items: str = ""):
    """Device test, then the same photo on the processor and the GPU: the answers must agree."""
    image = pathlib.Path(photo or ROOT / "examples" / "wardrobe.jpg").read_bytes()
    items = items or (ROOT / "examples" / "items.txt").read_text().strip()
    print(device_test.remote())
    found = {}
    for device in ["cpu"] if GPU == "none" else ["cpu", "cuda"]:
        result = inference_test.remote(image, items, device)["images"][0]
        if result["error"]:
            raise SystemExit(f"{device}: {result['error']['message']}")
        found[device] = sorted(detection["item"] for detection in result["detections"])
        print(
            f"{device}: {len(found[device])} items in {result['timing_ms']['model']:.1f} ms: {', '.join(found[device])}"
        )
        if not found[device]:
            raise SystemExit(f"{device}: nothing was found")
    if len(set(map(tuple, found.values()))) > 1:
        raise SystemExit("The devices disagree.")
    print("All tests passed.")


@app.local_entrypoint()
def pull(model: str = MODEL):
    pull_model.remote(model)
