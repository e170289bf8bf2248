"""What all unit tests share."""

from datetime import timedelta

from hypothesis import settings

# An example that takes over 200 ms, the default, says that the machine is busy: each core runs a process.
settings.register_profile("pilotage", deadline=timedelta(seconds=5))
settings.load_profile("pilotage")
