"""aefast's convolution and its gradients, one op a call, into arrays that are there."""
