"""Brings one installation up and takes it down again. Nothing here supervises: supervisord does."""
