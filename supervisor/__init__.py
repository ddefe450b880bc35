"""Spawns, probes, heals and adopts worker processes; one supervisor per host."""
