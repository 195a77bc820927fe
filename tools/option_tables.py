"""Write the table of each bundle's options, made from its options model, between the markers of its docs/details.md.

Usage::

    python tools/option_tables.py
"""

from __future__ import annotations

import importlib
from pathlib import Path

from markdown_tables import write_between_markers
from mrsikit.runtime import RunOptions

REPOSITORY = Path(__file__).resolve().parents[1]
MODELS = {
    "mrsi_inpainting": "InpaintingOptions",
    "mrsi_super_resolution": "SuperResolutionOptions",
    "mrsi_gan_super_resolution": "GanSuperResolutionOptions",
    "dmi_quantification": "QuantificationOptions",
    "mrs_vae_synthesis": "SynthesisOptions",
}


def model_of(bundle: str) -> type[RunOptions]:
    """Options model of a bundle."""
    return getattr(importlib.import_module(f"{bundle}.options"), MODELS[bundle])


def main() -> None:
    """Write the tables of all bundles."""
    for bundle in MODELS:
        path = REPOSITORY / "bundles" / bundle / "docs" / "details.md"
        write_between_markers(path, "options", model_of(bundle).table())


if __name__ == "__main__":
    main()
