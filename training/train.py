"""Train the wardrobe model.

    python -m training.train --config training/wardrobe.toml --out out/one [--max-seconds 570]

Run it again with the same ``--out`` to go on where the last call stopped; with ``--from FOLDER`` a
new training starts from exported weights. Under ``torchrun`` every process takes a GPU.
"""

import argparse
import json
import math
import os
import random
import time
import tomllib
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from safetensors.torch import load_file
from torch.utils.data import DataLoader

from training import captions, data, losses, model, optimizer, report, scenes, teacher, vocabulary


def read_config(path: Path, changes: list[str]) -> dict:
    """The TOML file with ``table.key=value`` changes (values in TOML) on top."""
    config = tomllib.loads(path.read_text())
    for change in changes:
        name, value = change.split("=", 1)
        *tables, key = name.split(".")
        at = config
        for table in tables:
            at = at[int(table)] if isinstance(at, list) else at[table]
        if key not in at:
            raise KeyError(f"{name} is not in {path}")
        at[key] = tomllib.loads(f"x = {value}")["x"]
    return config


class Trainer:
    """One process of a training: model, optimizer, plans, and where it stands.

    The parameters live twice: f32 masters, which the optimizer moves, and the module's own, bf16 on a
    GPU, which forward and backward use. Their gradients land in one flat f32 buffer, so that clipping
    and the exchange between processes are one operation each.
    """

    def __init__(self, config: dict, out: Path, start: Path | None):
        self.config, self.out = config, out
        self.rank, self.world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        self.cuda = torch.cuda.is_available()
        self.device = (
            torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if self.cuda else torch.device("cpu")
        )
        if self.cuda:
            torch.cuda.set_device(self.device)
            torch.set_float32_matmul_precision("high")
        if self.world > 1:
            dist.init_process_group(
                "nccl" if self.cuda else "gloo", device_id=self.device if self.cuda else None
            )
        torch.manual_seed(config["seed"])
        settings = config["train"]

        folder = start or Path(config["text"])
        self.tokens = vocabulary.read(folder / "vocab.txt")
        shape = model.make_config(len(self.tokens), config["model"], settings["drop_path"])
        if start is None:
            network = model.build(shape, load_file(folder / "text.safetensors"))
        else:
            network = model.build(shape)
            network.load_state_dict(
                model.GroundingDinoForObjectDetection.from_pretrained(start).float().state_dict()
            )
        # Frozen, so that words no prompt of ours holds keep their place among those that do.
        embeddings = network.model.text_backbone.embeddings
        for table in (embeddings.word_embeddings, embeddings.position_embeddings):
            table.weight.requires_grad_(False)
        self.bank = data.load_bank(Path(config["photos"]), self.device)
        self.teachers = None
        if config["teacher"]:
            each = math.ceil(settings["views"] * settings["batch"] / teacher.FOLDS)
            self.teachers = teacher.Teachers(Path(config["teacher"]), self.bank, each)
        width = network.model.backbone.conv_encoder.intermediate_channel_sizes[-1]
        heads = losses.RegionHeads(width, shape.d_model)
        self.detector = model.Detector(network, settings["groups"]).to(self.device).train()
        self.loss = losses.Loss(heads, settings["dense"], settings["trust"], settings["silence"]).to(
            self.device
        )

        self.module = torch.nn.ModuleDict({"detector": self.detector, "heads": heads})
        named = [(n, p) for n, p in self.module.named_parameters() if p.requires_grad]
        self.names = [n for n, _ in named]
        self.live = [p for _, p in named]
        self.masters = [torch.nn.Parameter(p.detach().clone()) for p in self.live]
        self.gradient = torch.zeros(sum(p.numel() for p in self.live), device=self.device)
        at = 0
        for p in self.masters:
            p.grad = self.gradient[at : at + p.numel()].view_as(p)
            at += p.numel()
        if self.cuda:
            for p in self.detector.parameters():
                p.data = p.data.bfloat16()
        self.optimizer = optimizer.Optimizer(list(zip(self.names, self.masters)), settings)
        self.averages = [p.detach().clone() for p in self.masters]
        self.step, self.seconds = 0, 0.0
        self.tokenizer = captions.Tokenizer(self.tokens)
        self.graphs: dict[tuple, tuple] = {}
        self.resume()

    # -- where it stands -----------------------------------------------------------------------------
    @property
    def checkpoint(self) -> Path:
        return self.out / "checkpoint.pt"

    def resume(self) -> None:
        if self.checkpoint.exists():
            state = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
            with torch.no_grad():
                torch._foreach_copy_(self.masters, state["masters"])
                torch._foreach_copy_(self.averages, state["averages"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step, self.seconds = state["step"], state["seconds"]
        self._lend()

    @torch.no_grad()
    def _lend(self) -> None:
        """Copy the masters into the module."""
        torch._foreach_copy_(self.live, self.masters)

    def save(self) -> None:
        """The full checkpoint, and the averaged weights by themselves (f16, transformers' names) with their vocabulary."""
        if self.rank:
            return
        state = {
            "masters": [p.detach() for p in self.masters],
            "averages": self.averages,
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
        }
        torch.save(state, self.checkpoint.with_suffix(".new"))
        self.checkpoint.with_suffix(".new").rename(self.checkpoint)
        prefix = "detector.model."
        weights = {n: p.detach().half().cpu() for n, p in self.detector.model.named_parameters()}
        weights.update(
            {
                n.removeprefix(prefix): a.half().cpu()
                for n, a in zip(self.names, self.averages)
                if n.startswith(prefix)
            }
        )
        torch.save(weights, self.out / "averages.pt")
        vocabulary.write(self.out / "vocab.txt", self.tokens)

    # -- steps ---------------------------------------------------------------------------------------
    @property
    def progress(self) -> float:
        return min(1.0, self.seconds / self.config["train"]["seconds"])

    def rate(self) -> float:
        settings = self.config["train"]
        warm = min(1.0, (self.step + 1) / settings["warmup"])
        cosine = 0.5 * (1 + math.cos(math.pi * self.progress))
        return settings["lr"] * warm * (settings["floor"] + (1 - settings["floor"]) * cosine)

    def phase(self) -> dict:
        phases = self.config["phase"]
        return next((p for p in phases if self.progress < p["until"]), phases[-1])

    def loader(self, batch: int):
        planner = scenes.Planner(
            self.bank.table,
            self.bank.indices(validation=False),
            self.tokenizer,
            scenes.PlannerConfig(**self.config["scenes"]),
        )
        seed = self.config["seed"] + 7919 * self.step + 104729 * self.rank + 1
        workers = self.config["train"]["workers"]
        extra = dict(prefetch_factor=8, multiprocessing_context="fork") if workers else {}
        stream = scenes.PlanStream(planner, batch, seed)
        return iter(DataLoader(stream, batch_size=None, num_workers=workers, pin_memory=self.cuda, **extra))

    def compute(self, plan: dict, canvas: tuple[int, int]) -> torch.Tensor:
        """Compose, predict, and leave gradients in ``self.live``; returns the loss and its parts."""
        scene = self.composer.compose(
            plan["photos"], plan["present"], plan["kind"], *canvas, plan["recolour"]
        )
        view = self.teachers(scene.pictures, scene.boxes, scene.ok, plan["photos"]) if self.teachers else None
        targets = losses.Targets(
            scene.boxes,
            scene.ok,
            plan["answers"],
            plan["covers"],
            plan["label"],
            plan["colour"],
            view,
            scene.masks,
        )
        out = self.detector(scene.pictures, plan["ids"])
        loss, parts = self.loss(out, targets, self.config["train"]["groups"])
        loss.backward()
        self.part_names = ["loss", *parts]
        return torch.stack([loss.detach(), *(p.detach().float() for p in parts.values())])

    def _clear(self) -> None:
        for p in self.live:
            p.grad = None

    def gradients(self, plan: dict, canvas: tuple[int, int]) -> tuple[torch.Tensor, list]:
        """``compute`` through a CUDA graph a canvas: thousands of small kernels, one launch."""
        if not (self.cuda and self.config["train"]["graphs"]):
            self._clear()
            plan = {k: v.to(self.device) for k, v in plan.items()}
            return self.compute(plan, canvas), [p.grad for p in self.live]
        if canvas not in self.graphs:
            inputs = {k: v.to(self.device) for k, v in plan.items()}
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(2):
                    self._clear()
                    self.compute(inputs, canvas)
            torch.cuda.current_stream().wait_stream(side)
            self._clear()
            graph = torch.cuda.CUDAGraph()
            graph.register_generator_state(self.composer.generator)
            pool = next(iter(self.graphs.values()))[0].pool() if self.graphs else None
            # thread_local: the loader's pinning thread may call the driver meanwhile.
            with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
                parts = self.compute(inputs, canvas)
            self.graphs[canvas] = graph, inputs, parts, [p.grad for p in self.live]
        graph, inputs, parts, grads = self.graphs[canvas]
        for name, buffer in inputs.items():
            buffer.copy_(plan[name], non_blocking=True)
        graph.replay()
        return parts, grads

    @torch.no_grad()
    def update(self, grads: list) -> torch.Tensor:
        """Exchange, clip, step, average; returns the gradient's norm."""
        pairs = [(m.grad, g) for m, g in zip(self.masters, grads) if g is not None]
        torch._foreach_copy_([a for a, _ in pairs], [b for _, b in pairs])
        if self.world > 1:
            dist.all_reduce(self.gradient)
            self.gradient.div_(self.world)
        norm = self.gradient.norm()
        self.gradient.mul_((self.config["train"]["clip"] / (norm + 1e-6)).clamp(max=1.0))
        self.optimizer.step(self.rate())
        self._lend()
        decay = min(self.config["train"]["ema"], (self.step + 1) / (self.step + 20))
        torch._foreach_lerp_(self.averages, self.masters, 1 - decay)
        return norm

    def run(self, max_seconds: float, max_steps: int, log_every: int = 100) -> None:
        start, before = time.time(), self.seconds
        seed = self.config["seed"] * 31 + self.step * 2 + self.rank * 1000003
        self.composer = scenes.Composer(self.bank, validation=False, seed=seed)
        torch.manual_seed(seed)  # drop path and the like
        canvases = random.Random(self.config["seed"] + self.step)  # the same on every process
        total, counted, mark, saved, last = 0, 0, time.time(), time.time(), self.step + max_steps
        plans = self.loader(self.config["train"]["batch"])
        while self.step < last:
            # All processes follow the first one's clock: it decides the rate, the phase and the end.
            if self.step % 10 == 0:
                self.seconds = before + self._agree(time.time() - start)
                if self.progress >= 1 or self.seconds - before >= max_seconds:
                    break
                if time.time() - saved > 90:
                    self.save()
                    saved = time.time()
            parts, grads = self.gradients(next(plans), tuple(canvases.choice(self.phase()["canvases"])))
            norm = self.update(grads)
            self.step += 1
            total = total + torch.cat([parts, norm[None]])
            counted += 1
            if self.step % log_every == 0 or self.step in (1, 10, 30):
                means = [round(v, 4) for v in (total / counted).tolist()]
                pace = counted / (time.time() - mark)
                self.log(
                    {
                        "step": self.step,
                        "seconds": round(self.seconds, 1),
                        "pace": round(pace, 2),
                        "rate": self.rate(),
                        **dict(zip([*self.part_names, "norm"], means)),
                    }
                )
                total, counted, mark = 0, 0, time.time()
        self.seconds = before + self._agree(time.time() - start)
        self.save()

    def _agree(self, seconds: float) -> float:
        if self.world == 1:
            return seconds
        shared = torch.tensor([seconds], device=self.device)
        dist.broadcast(shared, 0)
        return shared.item()

    def log(self, row: dict) -> None:
        if self.rank:
            return
        with (self.out / "log.jsonl").open("a") as f:
            f.write(json.dumps(row) + "\n")
        print(" ".join(f"{k} {v:.4g}" for k, v in row.items()), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", type=Path, default=Path("training/wardrobe.toml"))
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for the checkpoint, the log and the pictures"
    )
    parser.add_argument("--from", dest="start", type=Path, help="exported model folder to start from")
    parser.add_argument("--max-seconds", type=float, default=math.inf, help="stop and save after this long")
    parser.add_argument("--max-steps", type=int, default=10**9, help="stop and save after this many steps")
    parser.add_argument("--set", action="append", default=[], metavar="TABLE.KEY=VALUE")
    args = parser.parse_args()
    began = time.time()
    config = read_config(args.config, args.set)
    args.out.mkdir(parents=True, exist_ok=True)
    random.seed(config["seed"])
    np.random.seed(config["seed"])
    trainer = Trainer(config, args.out, args.start)
    if trainer.rank == 0:
        size = sum(p.numel() for p in trainer.detector.model.parameters()) / 1e6
        print(
            f"{size:.2f} M parameters, step {trainer.step}, ready after {time.time() - began:.1f} s",
            flush=True,
        )
    trainer.run(args.max_seconds - (time.time() - began), args.max_steps)
    if trainer.rank == 0:
        report.curves(args.out / "log.jsonl", args.out / "curves.png")
        if trainer.device.type == "cuda":
            print(f"peak memory {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB")
    if trainer.world > 1:
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
