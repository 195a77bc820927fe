"""MR physics: k-space, point spread functions, spectra, nuclei and the FID model."""
