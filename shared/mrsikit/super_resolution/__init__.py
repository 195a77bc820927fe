"""Super-resolution of metabolite maps: the code that both super-resolution bundles share."""
