"""Service specs: lossless, immutable, compared as the engine compares them."""
