"""How well attacks on prompts are told, and the weights they are told by."""
