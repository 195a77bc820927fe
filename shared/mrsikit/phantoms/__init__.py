"""Virtual subjects: anatomy, tumours, metabolite concentrations, MRI contrasts and patterns of missing voxels."""
