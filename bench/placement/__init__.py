"""Placement compared on simulated fleets: `python -m bench.placement`. `constants` says what is compared."""
