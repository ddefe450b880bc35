"""whether a bot was expected to be up

Revision: 0003
Before it: 0002

A program of the release before goes on writing rows without the column: they get false, so what it records as up still
counts, and its few seconds of downtime do not. Rows that are there are told by `expected_after` as far as they show it.
"""

import sqlalchemy as sa
from alembic import op

revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('bot_transitions', sa.Column('expected', sa.Boolean(), server_default=sa.false(), nullable=False))
    op.execute(
        "UPDATE bot_transitions SET expected = (0 = 0) WHERE state = 'RUNNING' "
        "OR (state <> 'STOPPED' AND reason IS NOT NULL AND reason <> 'restart_requested')"
    )


def downgrade() -> None:
    with op.batch_alter_table('bot_transitions', schema=None) as batch_op:
        batch_op.drop_column('expected')
