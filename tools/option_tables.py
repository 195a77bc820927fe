"""Write the table of each bundle's options, made from its options model, between the markers of its model card.

Usage::

    python tools/option_tables.py
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path

from mrsikit.io.writers import write_text_atomically
from mrsikit.runtime import RunOptions

REPOSITORY = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- options:begin -->", "<!-- options:end -->"
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


def with_table(card: str, table: str) -> str:
    """Replace the text between the markers of a model card.

    Raises:
        ValueError: the card has no markers.
    """
    pattern = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    if not pattern.search(card):
        raise ValueError(f"the card has no {BEGIN} and {END}")
    return pattern.sub(lambda _: f"{BEGIN}\n\n{table}\n\n{END}", card, count=1)


def main() -> None:
    """Write the tables of all bundles."""
    for bundle in MODELS:
        path = REPOSITORY / "bundles" / bundle / "docs" / "README.md"
        write_text_atomically(path, with_table(path.read_text(encoding="utf-8"), model_of(bundle).table()))


if __name__ == "__main__":
    main()
