"""The kernels, in Triton's language. Importing a module here imports Triton; where it shall interpret, TRITON_INTERPRET=1 is
set before.
"""
