"""Measurements of aefast: the side-by-side comparison with peers and the micro-benchmarks of the ops."""
