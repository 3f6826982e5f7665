"""Which KL weight should my VAE have, and why?"""

__version__ = "0.1.0"
