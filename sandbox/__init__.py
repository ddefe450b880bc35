"""A local Discord: REST v10 and gateway v10, for demos, tests and benchmarks. Imports nothing of the fleet."""
