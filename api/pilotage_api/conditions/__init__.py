"""Conditions of rules: CEL expressions over typed variables, restricted so that each has a bounded cost."""
