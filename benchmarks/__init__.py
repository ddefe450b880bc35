"""Flotilla measured side by side with other process managers, in one run on one machine: `python -m benchmarks`."""
