"""What goes wrong on demand: the kinds of faults, the book of those asked for, and where they strike."""
