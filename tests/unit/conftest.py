"""What all unit tests share."""

from datetime import timedelta

from hypothesis import settings

# An example that takes 200 ms, as by default, says that the machine is busy: each core runs a process of tests.
settings.register_profile("pilotage", deadline=timedelta(seconds=5))
settings.load_profile("pilotage")
