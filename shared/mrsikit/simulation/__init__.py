"""Simulation of proton spectra: spin systems, density-matrix basis sets, and sessions of edited transients."""
