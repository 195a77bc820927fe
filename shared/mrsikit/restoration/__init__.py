"""Classical restoration methods that the bundles and the benchmarks share."""
