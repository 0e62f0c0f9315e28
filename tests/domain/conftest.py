"""Hypothesis without deadlines: a busy machine is no fault of the code.

`--hypothesis-profile thorough` looks at many more examples.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile(
    "thorough", deadline=None, max_examples=1000, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("quick", settings.get_profile("thorough"), max_examples=50)
if settings.get_current_profile_name() == "default":
    settings.load_profile("quick")
