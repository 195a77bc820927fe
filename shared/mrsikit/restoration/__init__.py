"""Classical restoration methods, which the bundles and the benchmarks share."""
