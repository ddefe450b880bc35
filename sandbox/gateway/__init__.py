"""Gateway v10: sockets, sessions, events and the ledger of session starts."""
