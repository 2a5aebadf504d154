#!/usr/bin/env python3
"""A server that does what the old backend did, to compare with: FastAPI and transformers, one full
detector pass an item, the best box of each, 5% margin, JPEG quality 95.

    pip install fastapi uvicorn torch transformers pillow
    bench/peers/legacy_server.py --model IDEA-Research/grounding-dino-tiny --device cuda --port 8001

Crops are written to a folder instead of a bucket, which favours this server.
"""

import argparse
import base64
import io
import pathlib
import tempfile
import time
import uuid

import torch
import uvicorn
from fastapi import FastAPI, HTTPException
from fastapi.responses import FileResponse
from PIL import Image, ImageOps
from pydantic import BaseModel
from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor

THRESHOLD = 0.15
MARGIN = 0.05
WORDS = {
    "tops": "shirt blouse sweater top tee hoodie jacket cardigan vest coat",
    "bottoms": "pants jeans skirt shorts trousers leggings",
    "dress": "dress gown",
    "shoes": "shoe sneaker boot sandal heel loafer",
    "bag": "bag purse backpack tote clutch handbag",
    "bags": "bag purse backpack tote clutch handbag",
    "accessory": "necklace bracelet earring watch hat scarf belt sunglasses ring jewelry",
    "accessories": "necklace bracelet earring watch hat scarf belt sunglasses ring jewelry",
}


class CropRequest(BaseModel):
    imageUrl: str | None = None
    imageBase64: str | None = None
    categories: list[str]
    count: int | None = None


class Cropper:
    def __init__(self, model: str, device: str, precision: str):
        self.device = device
        self.autocast = {"fp32": None, "fp16": torch.float16, "bf16": torch.bfloat16}[precision]
        self.processor = AutoProcessor.from_pretrained(model)
        self.model = AutoModelForZeroShotObjectDetection.from_pretrained(model).float().to(device).eval()

    @torch.inference_mode()
    def best_box(self, image: Image.Image, prompt: str):
        """One pass of the whole model for one item, as the old backend did."""
        inputs = self.processor(images=image, text=f"{prompt}.", return_tensors="pt").to(self.device)
        with torch.autocast(
            self.device.split(":")[0], self.autocast or torch.bfloat16, enabled=self.autocast is not None
        ):
            outputs = self.model(**inputs)
        (result,) = self.processor.post_process_grounded_object_detection(
            outputs,
            inputs["input_ids"],
            threshold=THRESHOLD,
            text_threshold=THRESHOLD,
            target_sizes=[image.size[::-1]],
        )
        if not len(result["scores"]):
            return None
        return result["boxes"][int(result["scores"].argmax())].tolist()

    def crop(self, image: Image.Image, box) -> Image.Image:
        x0, y0, x1, y1 = box
        dx, dy = (x1 - x0) * MARGIN, (y1 - y0) * MARGIN
        return image.crop(
            (
                max(0, int(x0 - dx)),
                max(0, int(y0 - dy)),
                min(image.width, int(x1 + dx)),
                min(image.height, int(y1 + dy)),
            )
        )


def make_app(cropper: Cropper, folder: pathlib.Path, base: str) -> FastAPI:
    app = FastAPI()

    @app.get("/")
    def status():
        return {"status": "online", "cropper_available": True, "endpoint": "/crop"}

    @app.get("/files/{name}")
    def file(name: str):
        return FileResponse(folder / pathlib.Path(name).name)

    @app.post("/crop")
    def crop(request: CropRequest):
        started = time.perf_counter()
        if not request.imageBase64:
            raise HTTPException(400, "only imageBase64 is compared")
        data = base64.b64decode(request.imageBase64.split(",", 1)[-1])
        image = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
        urls = []
        for number, category in enumerate(request.categories[: request.count or len(request.categories)], 1):
            prompt = WORDS.get(category, category)
            box = cropper.best_box(image, prompt)
            if box is None:
                continue
            name = f"{uuid.uuid4().hex}_item{number}_{prompt.replace(' ', '_')[:60]}_crop.jpg"
            cropper.crop(image, box).save(folder / name, "JPEG", quality=95)
            urls.append(f"{base}/files/{name}")
        seconds = {"timing": {"total_seconds": round(time.perf_counter() - started, 4)}}
        if len(urls) > 1:
            return {"croppedImageUrls": urls, **seconds}
        return {"croppedImageUrl": urls[0] if urls else request.imageUrl, **seconds}

    return app


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="IDEA-Research/grounding-dino-tiny", help="folder or name")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--precision",
        choices=["fp32", "fp16", "bf16"],
        default="fp32",
        help="as autocast; the old backend ran fp32",
    )
    parser.add_argument("--threads", type=int, default=0, help="on a processor; 0: torch's default")
    parser.add_argument("--port", type=int, default=8001)
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as name:
        cropper = Cropper(arguments.model, arguments.device, arguments.precision)
        app = make_app(cropper, pathlib.Path(name), f"http://127.0.0.1:{arguments.port}")
        uvicorn.run(app, host="127.0.0.1", port=arguments.port, log_level="warning")


if __name__ == "__main__":
    main()
