#!/usr/bin/env python3
"""Compares itemcrop with transformers on pinned cores: equality first, then alternating times.

    bench/run.py --build build/release --python .venv/bin/python --cores 0,1

Both run the same procedural checkpoint of the published *tiny* shape on the same 1333 x 800 image
with the same 16 tokens. Nothing is timed unless fp32 outputs agree. Programs take turns, so that a
change of the machine's speed meets both. Prints a table and writes JSON to bench/results/.
"""

import argparse
import datetime
import json
import pathlib
import platform
import statistics
import subprocess
import tempfile

import equality

HERE = pathlib.Path(__file__).resolve().parent
REPOSITORY = HERE.parent
GOLDEN = REPOSITORY / "tests" / "golden"


class Contest:
    """The commands of both programs on one checkpoint."""

    def __init__(self, arguments: argparse.Namespace, model: pathlib.Path):
        self.cores = arguments.cores
        threads = str(len(arguments.cores.split(",")))
        size = ["--width", str(arguments.width), "--height", str(arguments.height)]
        self.commands = {
            "itemcrop": [
                str(arguments.build / "bench" / "bench_engine"),
                str(model),
                "--threads",
                threads,
                *size,
            ],
            "transformers": [
                str(arguments.python),
                str(HERE / "peers" / "transformers_bench.py"),
                str(model),
                "--threads",
                threads,
                *size,
            ],
        }

    def run(self, program: str, precision: str, runs: int, dump: pathlib.Path | None = None) -> dict:
        command = [
            "taskset",
            "-c",
            self.cores,
            *self.commands[program],
            "--precision",
            precision,
            "--runs",
            str(runs),
        ]
        if dump:
            command += ["--dump", str(dump)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise SystemExit(f"{' '.join(command)}\n{result.stderr}")
        return json.loads(result.stdout.strip().splitlines()[-1])

    def outputs(self, program: str, precision: str) -> dict:
        with tempfile.TemporaryDirectory() as folder:
            dump = pathlib.Path(folder) / "outputs.json"
            self.run(program, precision, 0, dump)
            return json.loads(dump.read_text())


def make_checkpoint(arguments: argparse.Namespace, folder: pathlib.Path) -> pathlib.Path:
    subprocess.run(
        [
            str(arguments.build / "tests" / "support" / "itemcrop-make-checkpoint"),
            str(GOLDEN / arguments.shape),
            str(folder),
            "--vocab",
            str(GOLDEN / "tokenizer" / "vocab.txt"),
        ],
        check=True,
    )
    return folder


def check_equality(contest: Contest) -> dict:
    """Raises SystemExit unless fp32 agrees; describes how far bf16 is from fp32's answer."""
    reference = contest.outputs("transformers", "fp32")
    share = equality.matched_share(reference, contest.outputs("itemcrop", "fp32"))
    if share < equality.MATCHED:
        raise SystemExit(f"fp32 outputs differ: only {share:.1%} of the queries agree")
    differences = equality.score_differences(reference, contest.outputs("itemcrop", "bf16"))
    return {
        "fp32_matched_queries": share,
        "bf16_detections": len(differences),
        "bf16_score_difference_median": statistics.median(differences) if differences else None,
        "bf16_score_difference_largest": differences[-1] if differences else None,
    }


def time_in_turns(contest: Contest, rounds: int, runs: int) -> dict:
    """(program, precision) -> every process's report."""
    reports: dict[tuple[str, str], list[dict]] = {}
    for _ in range(rounds):
        for precision in ("fp32", "bf16"):
            for program in ("transformers", "itemcrop"):
                report = contest.run(program, precision, runs)
                reports.setdefault((program, precision), []).append(report)
                print(f"  {program} {precision}: {min(report['run_seconds']):.2f} s", flush=True)
    return reports


def summarise(reports: dict) -> list[dict]:
    rows = []
    baseline = None
    for (program, precision), processes in reports.items():
        times = [seconds for report in processes for seconds in report["run_seconds"]]
        median = statistics.median(times)
        baseline = baseline or median
        rows.append(
            {
                "program": program,
                "precision": precision,
                "device": processes[0]["device"],
                "median_seconds": median,
                "least_seconds": min(times),
                "most_seconds": max(times),
                "runs": len(times),
                "of_transformers_fp32": median / baseline,
                "peak_resident_bytes": max(report["peak_resident_bytes"] for report in processes),
                "start_to_first_beyond_model_seconds": statistics.median(
                    report["first_result_seconds"] for report in processes
                )
                - median,
            }
        )
    return rows


def print_table(rows: list[dict]) -> None:
    print(
        f"{'program':<14}{'precision':<11}{'median s':>9}{'least':>8}{'most':>8}{'share':>8}"
        f"{'peak MB':>9}{'start s':>9}"
    )
    for row in rows:
        print(
            f"{row['program']:<14}{row['precision']:<11}{row['median_seconds']:>9.2f}"
            f"{row['least_seconds']:>8.2f}{row['most_seconds']:>8.2f}"
            f"{row['of_transformers_fp32']:>8.3f}{row['peak_resident_bytes'] / 1e6:>9.0f}"
            f"{row['start_to_first_beyond_model_seconds']:>9.2f}"
        )
    print("share: of transformers' fp32 time; start: process start to first result, less one run")


def machine(cores: str) -> dict:
    description = {"kernel": platform.release(), "cores": cores}
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = (part.strip() for part in line.partition(":"))
        if key == "model name":
            description["processor"] = value
        elif key == "flags":
            description["instruction_sets"] = [
                flag for flag in value.split() if flag.startswith(("avx", "amx"))
            ]
            break
    return description


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--build", type=pathlib.Path, required=True, help="CMake build folder")
    parser.add_argument(
        "--python",
        type=pathlib.Path,
        required=True,
        help="interpreter with training/requirements.txt installed",
    )
    parser.add_argument("--cores", default="0,1", help="cores that both are pinned to")
    parser.add_argument("--shape", default="tiny", help="folder of tests/golden with a config.json")
    parser.add_argument("--width", type=int, default=1333)
    parser.add_argument("--height", type=int, default=800)
    parser.add_argument("--rounds", type=int, default=2, help="processes of each program")
    parser.add_argument("--runs", type=int, default=3, help="timed runs a process")
    parser.add_argument("--name", default="cpu", help="bench/results/NAME.json")
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        contest = Contest(arguments, make_checkpoint(arguments, pathlib.Path(folder)))
        agreement = check_equality(contest)
        print(f"equal: {agreement['fp32_matched_queries']:.1%} of the fp32 queries agree")
        rows = summarise(time_in_turns(contest, arguments.rounds, arguments.runs))
    print_table(rows)
    result = {
        "date": datetime.date.today().isoformat(),
        "machine": machine(arguments.cores),
        "shape": arguments.shape,
        "width": arguments.width,
        "height": arguments.height,
        "tokens": 16,
        "equality": agreement,
        "rows": rows,
    }
    path = HERE / "results" / f"{arguments.name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
