"""The control API under /sandbox: users, worlds and faults on demand."""
