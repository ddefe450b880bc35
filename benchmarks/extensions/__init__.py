"""A bot author's mistakes, for the benchmarks: every contender's bots load the very same."""
