"""Virtual subjects: anatomy, tumours, metabolite concentrations, MRI contrasts, and how voxels are lost."""
