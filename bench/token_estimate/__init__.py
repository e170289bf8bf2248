"""How well tokens are estimated from bytes, and where the estimate's weights come from."""
