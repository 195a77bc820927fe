"""Simulation of proton spectra: spin systems, basis sets by density matrix, and edited sessions."""
