"""MONAI's command lines, as a user types them."""

import importlib.util
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

ONE_CORE = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}

MONAI_COMMAND = [sys.executable, "-m", "monai.bundle"]

SERVER = multiprocessing.get_context("forkserver")
"""Starts processes that have imported MONAI already, which takes longer than most of the commands under test."""

SERVER.set_forkserver_preload(["monai.bundle", "mrsikit.runtime.report"])


def run_line(*configs: str | Path, processes: int = 1, **options: object) -> list[str]:
    """Of configs by name, seen from the bundle's root, or by path; options by name."""
    line = MONAI_COMMAND
    if processes > 1:
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
        line = [sys.executable, *launcher, "-m", "monai.bundle"]
    files = [f"configs/{c}.json" if isinstance(c, str) else str(c) for c in configs]
    line = [*line, "run", "--config_file", str(files) if len(files) > 1 else files[0]]
    for name, value in options.items():
        line += [f"--{name}", str(value)]
    return line


def infer(bundle: Path, *, cwd: Path | None = None, **options: object) -> subprocess.CompletedProcess:
    """The public command, from the bundle's root or from elsewhere."""
    if cwd is None:
        line = run_line("inference", **options)
    else:
        line = run_line(bundle / "configs" / "inference.json", bundle_root=bundle, **options)
    return completed(line, cwd=cwd or bundle)


def on_one_core(line: list[str], *, cwd: Path) -> str:
    """Run a line that must succeed, and return what it said."""
    done = completed(line, cwd=cwd)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


def export(bundle: Path, path: Path, *, kind: str = "ckpt_export", weights: Path | None = None, **options: str) -> Path:
    """Export a bundle's network by the public command, and return the file."""
    line = [*MONAI_COMMAND, kind, "--net_id", "network_def", "--filepath", str(path)]
    line += ["--ckpt_file", str(weights or bundle / "models" / "model.pt"), "--meta_file", "configs/metadata.json"]
    line += ["--config_file", "configs/inference.json"]
    for name, value in options.items():
        line += [f"--{name}", value]
    on_one_core(line, cwd=bundle)
    return path


def mrsikit(words: list[str], *, cwd: Path) -> subprocess.CompletedProcess:
    """Run the short command ``mrsikit WORDS`` to its end on one core, without a GPU."""
    return _preloaded("mrsikit.__main__", words, cwd=cwd)


def completed(line: list[str], *, cwd: Path) -> subprocess.CompletedProcess:
    """Run a line to its end on one core, without a GPU.

    A line of ``monai.bundle`` runs in a process of its own that begins with MONAI imported. It executes MONAI's
    ``__main__`` as ``python -m`` does. test_make_zips.py runs every bundle by a Python that is started afresh.
    """
    if line[:3] != MONAI_COMMAND:
        return subprocess.run(line, cwd=cwd, env=ONE_CORE, capture_output=True, text=True, check=False)
    return _preloaded("monai.bundle.__main__", line[3:], cwd=cwd)


def _preloaded(module: str, words: list[str], *, cwd: Path) -> subprocess.CompletedProcess:
    with tempfile.TemporaryDirectory() as folder:
        said = [Path(folder) / name for name in ("stdout", "stderr")]
        process = SERVER.Process(target=_run, args=(module, words, cwd, *said))
        process.start()
        try:
            process.join()
        finally:  # also when the test's time is over
            process.kill()
        texts = [path.read_text(encoding="utf-8") for path in said]
    assert process.exitcode is not None
    return subprocess.CompletedProcess(words, process.exitcode, *texts)


def _run(module: str, words: list[str], cwd: Path, stdout: Path, stderr: Path) -> None:
    """Do in this process what ``python -m module words`` does in its own."""
    for stream, path in ((sys.stdout, stdout), (sys.stderr, stderr)):
        stream.flush()
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), stream.fileno())
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    torch.set_num_threads(1)
    os.chdir(cwd)
    sys.path[0] = str(cwd)
    sys.argv = [str(importlib.util.find_spec(module).origin), *words]
    runpy.run_module(module.removesuffix(".__main__"), run_name="__main__", alter_sys=True)
