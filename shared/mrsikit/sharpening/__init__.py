"""Sharpening of coarse metabolite maps: what the bundles that do it share."""
