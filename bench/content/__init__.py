"""How well and how fast content rules find values: `python -m bench.content`."""
