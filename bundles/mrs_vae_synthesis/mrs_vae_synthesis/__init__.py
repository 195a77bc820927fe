"""Synthetic MR spectra: whole sessions with noise, phases and frequency shifts from a variational autoencoder."""

from mrs_vae_synthesis.predict import Synthesised, predict

__all__ = ["Synthesised", "predict"]
