"""What the sandbox keeps over its end, as Discord would: in one file."""
