"""The SQL database, the one place where truth lives: SQLite by default, PostgreSQL for more."""
