"""Choices by objective on a simulated fleet of a weak and a strong model, with recorded correctness."""
