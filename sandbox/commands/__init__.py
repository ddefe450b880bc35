"""Application commands: the rules and the book of those registered."""
