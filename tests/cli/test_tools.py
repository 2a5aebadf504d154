"""info, verify, doctor, completion, --help and the man page from the outside."""

import json
import re
import shutil
import subprocess

import pytest

import needs
from conftest import ROOT

COMMANDS = ["crop", "detect", "info", "verify", "doctor", "serve", "models", "completion"]


def test_info(itemcrop):
    run = itemcrop("info", "--json")
    assert run.returncode == 0, run.stderr
    info = json.loads(run.stdout)
    assert info["name"] == "wardrobe" and info["parameters"] > 1_000_000 and info["queries"] > 0
    assert b"wardrobe" in itemcrop("info").stdout


def test_verify_passes_and_finds_a_bad_number(itemcrop, tmp_path):
    run = itemcrop("verify", "--json")
    assert run.returncode == 0, run.stdout
    verdict = json.loads(run.stdout)
    assert verdict["passed"] and verdict["tensors"] > 100 and verdict["not_finite"] == []
    assert verdict["skipped"] is None and verdict["cases"], "the sample's stored answers are compared"

    broken = tmp_path / "broken"
    shutil.copytree(ROOT / "models" / "wardrobe", broken)
    weights = bytearray((broken / "model.safetensors").read_bytes())
    weights[-2:] = b"\x00\x7e"  # a half-precision NaN
    (broken / "model.safetensors").write_bytes(weights)
    (broken / "expected.json").unlink(missing_ok=True)
    run = itemcrop("verify", broken)
    assert run.returncode == 3
    assert b"NaN or infinity in: " in run.stdout

    (broken / "model.safetensors").write_bytes(weights[:-2])
    run = itemcrop("verify", broken)
    assert run.returncode == 3
    assert b"model.safetensors" in run.stderr


def test_doctor(itemcrop):
    run = itemcrop("doctor", "--json")
    assert run.returncode == 0, run.stdout
    report = json.loads(run.stdout)
    assert report["healthy"] and report["model"]["name"] == "wardrobe"
    assert {"cpu"} <= {device["device"] for device in report["devices"]}
    assert report["libraries"]["libvips"][0].isdigit()
    for test in report["self_tests"]:
        assert test["passed"] and test["compared_with_expected"], test
        assert test["steady_ms"] > 0


def test_doctor_without_a_model(itemcrop, tmp_path):
    run = itemcrop("doctor", "--model", tmp_path)
    assert run.returncode == 3
    assert b"config.json" in run.stdout


def test_models_are_found_in_the_hugging_face_cache(itemcrop, tmp_path):
    snapshot = tmp_path / "hf/hub/models--Some-One--closet/snapshots/0123"
    snapshot.parent.mkdir(parents=True)
    snapshot.symlink_to(ROOT / "models" / "wardrobe")
    run = itemcrop("info", "Some-One/closet", "--json", HF_HOME=str(tmp_path / "hf"))
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["origin"] == "the Hugging Face cache"


@pytest.mark.parametrize("command", [[], *([c] for c in COMMANDS)])
def test_help(itemcrop, command):
    run = itemcrop(*command, "--help")
    assert run.returncode == 0 and run.stderr == b""
    text = run.stdout.decode()
    assert "Usage: itemcrop" in text and "Examples:" in text
    assert max(map(len, text.splitlines())) <= 110


@pytest.mark.parametrize(
    "shell, check", [("bash", ["bash", "-n"]), ("zsh", ["zsh", "-n"]), ("fish", ["fish", "--no-execute"])]
)
def test_completion_is_valid_shell(itemcrop, tmp_path, shell, check):
    script = tmp_path / "script"
    script.write_bytes(itemcrop("completion", shell).stdout)
    assert script.stat().st_size > 1000
    needs.program(check[0], check[0])
    assert subprocess.run([*check, script], capture_output=True).stderr == b""


@pytest.mark.parametrize(
    "words, offered",
    [
        (["itemcrop", "de"], {"detect"}),
        (["itemcrop", "crop", "--device", "c"], {"cpu", "cuda"}),
        (["itemcrop", "crop", "--thre"], {"--threads", "--threshold"}),
        (["itemcrop", "completion", "z"], {"zsh"}),
        (["itemcrop", "models", "p"], {"pull"}),
        (["itemcrop", "models", "--rev"], {"--revision"}),
        (["itemcrop", "crop", "--private"], {"--private-urls"}),
        (["itemcrop", "crop", "--threshold", ""], set()),
    ],
)
def test_bash_completes(itemcrop, tmp_path, words, offered):
    (tmp_path / "script").write_bytes(itemcrop("completion", "bash").stdout)
    line = " ".join(f"'{word}'" for word in words)
    run = subprocess.run(
        [
            "bash",
            "-c",
            f"source ./script; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _itemcrop; "
            "printf '%s\\n' \"${COMPREPLY[@]}\"",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert set(run.stdout.split()) == offered


def test_fish_completes(itemcrop, tmp_path):
    needs.program("fish", "fish")
    (tmp_path / "script").write_bytes(itemcrop("completion", "fish").stdout)
    run = subprocess.run(
        ["fish", "-c", "source ./script; complete -C 'itemcrop crop --device '"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert {line.split("\t")[0] for line in run.stdout.splitlines()} == {"auto", "cpu", "cuda"}


def test_the_man_page_is_clean():
    needs.program("man", "man-db")
    run = subprocess.run(
        ["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", ROOT / "docs" / "itemcrop.1"],
        capture_output=True,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
    )
    assert run.returncode == 0 and run.stderr == b""


def test_the_program_says_its_version(itemcrop):
    header = (ROOT / "include/itemcrop/version.h").read_text()
    numbers = dict(re.findall(r"define ITEMCROP_VERSION_(\w+) (\d+)", header))
    version = f"{numbers['MAJOR']}.{numbers['MINOR']}.{numbers['PATCH']}"
    assert itemcrop("--version").stdout.decode() == f"itemcrop {version}\n"
    assert f'"itemcrop {version}"' in (ROOT / "docs/itemcrop.1").read_text()
    assert json.loads((ROOT / "src/service/web/openapi.json").read_text())["info"]["version"] == version
