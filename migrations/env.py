"""Alembic's entry. Runs on the connection it is handed, in the caller's transaction."""

from alembic import context

from flotilla.db.tables import metadata

connection = context.config.attributes["connection"]
# render_as_batch: SQLite alters a table by copying it.
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True, compare_type=True)
context.run_migrations()
