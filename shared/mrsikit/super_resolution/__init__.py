"""Super-resolution of metabolite maps: what both super-resolution bundles share."""
