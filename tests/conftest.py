"""How Hypothesis draws its examples, in all tests."""

import os

from hypothesis import settings

# The same examples in every run, so that a run means the same to everybody; HYPOTHESIS_PROFILE=any
# draws new ones.
settings.register_profile("same", derandomize=True)
settings.register_profile("any")
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))
