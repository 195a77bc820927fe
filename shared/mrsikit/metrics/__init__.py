"""Measures of quality: holes, calibration, whole images, and the statistics between methods."""
