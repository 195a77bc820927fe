"""MONAI dictionary transforms over the physics and the virtual patients."""
