"""Quality metrics: missing voxels, calibration, whole images, lesions, and statistics between methods."""
