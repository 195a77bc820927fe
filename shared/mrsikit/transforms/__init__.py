"""MONAI dictionary transforms that simulate training data from virtual patients and the acquisition physics."""
