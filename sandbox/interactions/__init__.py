"""Interactions: what a user did, and what the application answered."""
