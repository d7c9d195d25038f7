"""What Alembic runs: the versions, over the connection that it was given, in that one's transaction."""

from __future__ import annotations

from alembic import context

from office.database import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA, render_as_batch=True)
context.run_migrations()
