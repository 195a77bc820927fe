"""Fits of FIDs and spectra, and their Cramér-Rao bounds."""
