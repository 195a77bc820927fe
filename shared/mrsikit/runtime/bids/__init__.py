"""The BIDS app: run a bundle on the metabolite maps of a BIDS dataset, and write a BIDS derivative dataset."""

from mrsikit.runtime.bids.app import help_text, run_app

__all__ = ["help_text", "run_app"]
