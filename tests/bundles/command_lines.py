"""MONAI's command lines, as a user types them."""

import os
import subprocess
import sys
from pathlib import Path

ONE_CORE = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}


def run_line(*configs: str | Path, processes: int = 1, **options: object) -> list[str]:
    """Of configs by name, seen from the bundle's root, or by path; options by name."""
    line = [sys.executable, "-m"]
    if processes > 1:
        line += ["torch.distributed.run", "--standalone", "--nproc_per_node", str(processes), "-m"]
    files = [f"configs/{c}.json" if isinstance(c, str) else str(c) for c in configs]
    line += ["monai.bundle", "run", "--config_file", str(files) if len(files) > 1 else files[0]]
    for name, value in options.items():
        line += [f"--{name}", str(value)]
    return line


def infer(bundle: Path, *, cwd: Path | None = None, **options: object) -> subprocess.CompletedProcess:
    """The public command, from the bundle's root or from elsewhere."""
    if cwd is None:
        line = run_line("inference", **options)
    else:
        line = run_line(bundle / "configs" / "inference.json", bundle_root=bundle, **options)
    return subprocess.run(line, cwd=cwd or bundle, capture_output=True, text=True, check=False)


def on_one_core(line: list[str], *, cwd: Path) -> str:
    """Run a line that must succeed, and return what it said."""
    done = subprocess.run(line, cwd=cwd, env=ONE_CORE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr
