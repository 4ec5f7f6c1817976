"""The shared module of "The VAE Loss, Derived and Checked".

Every function here is derived in a chapter and checked against exact truth. It is a small, readable reference for
models with a one-dimensional latent, not a toolkit for large ones.

Axes always come in this order: R runs, N points, K samples, G grid nodes, d latent axes, D data axes.
All logarithms are natural, so log densities, KLs and evidences are in nats.
"""
