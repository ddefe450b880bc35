"""The rules, without clocks, I/O, logging or randomness: everything here can be tested in microseconds."""
