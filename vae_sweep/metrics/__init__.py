"""What is measured of a trained model. Tensors in, numbers out: no network, no data set, no random state of its own.

aggregate.py        active units; mutual information, total correlation and dimension-wise KL of q(z)
importance.py       bounds on -ln p(x), their effective sample size and error
pictures.py         PSNR and SSIM
two_sample.py       distances between two sets, and what is chance
features.py         of pictures, for such distances
prior.py            MMD between codes and prior, holes, moment identities
gradients.py        the two terms as gradient descent sees them
disentanglement.py  mutual information gap

B and N count images, d latents, n pixels (channels counted). Nats.
"""
