"""What Alembic executes to migrate. Connection and transaction are those of the caller: see `store.upgrading`."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
