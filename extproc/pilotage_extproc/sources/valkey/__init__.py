"""Limits and budgets counted at one Valkey or Redis for all pickers."""
