"""Hook of the wheel's build: put each bundle's configs, weights, card and licence into its package.

``pip install`` of the wheel alone then runs every bundle; :func:`mrsikit.runtime.bundles.bundle_root` finds the files.
An editable install has them in the checkout.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

CONTENTS = ("LICENSE", "configs/*", "docs/README.md", "docs/data_license.txt", "models/*.pt")
LEFT_OUT = ("model_unet.pt", "model_unet_budget.pt")
"""Weights that only benchmarks load; the zips of the bundles hold them."""


def wheel_files(bundles: Path) -> dict[str, str]:
    """Return where each file of the bundles lies in the wheel.

    Args:
        bundles: folder of all bundles.
    """
    return {
        str(path): f"{bundle.name}/bundle/{path.relative_to(bundle).as_posix()}"
        for bundle in sorted(path for path in bundles.iterdir() if path.is_dir())
        for pattern in CONTENTS
        for path in sorted(bundle.glob(pattern))
        if not any(path.match(name) for name in LEFT_OUT)
    }


class WheelContents(BuildHookInterface):
    """Add the files to a wheel; an editable install needs none."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """See hatchling."""
        if version == "standard":
            build_data["force_include"] |= wheel_files(Path(self.root) / "bundles")
