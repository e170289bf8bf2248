"""Judging routers on recorded answers, and training the weights that ship."""
