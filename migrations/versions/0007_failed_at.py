"""when a bot's last runs failed, so that its intensity outlives the supervisor

Revision: 0007
Before it: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = '0007'
down_revision = '0006'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('bot_status', sa.Column('failed_at', sa.JSON(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table('bot_status', schema=None) as batch_op:
        batch_op.drop_column('failed_at')
