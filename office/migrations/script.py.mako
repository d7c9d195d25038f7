"""${message}."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    """From the version before. There is no way back: the catalogue is rebuilt from store and log."""
    ${upgrades if upgrades else "pass"}
