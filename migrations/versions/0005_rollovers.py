"""roll-overs, and which fork server made a bot's process

Revision: 0005
Before it: 0004

A program of the release before goes on writing statuses without the column: it stays as it was, and is right again
with the bot's next start.
"""

import sqlalchemy as sa
from alembic import op

from flotilla.db.tables import UtcDateTime

revision = '0005'
down_revision = '0004'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('bot_status', sa.Column('fork_server', sa.Integer(), nullable=True))
    op.create_table(
        'rollovers',
        sa.Column('id', sa.String(length=26), nullable=False),
        sa.Column('requested_by', sa.String(length=64), nullable=False),
        sa.Column('created_at', UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_rollovers')),
    )
    op.create_table(
        'rollover_status',
        sa.Column('rollover_id', sa.String(length=26), nullable=False),
        sa.Column('phase', sa.String(length=16), nullable=False),
        sa.Column('wave', sa.Integer(), nullable=False),
        sa.Column('old_server', sa.Integer(), nullable=True),
        sa.Column('new_server', sa.Integer(), nullable=True),
        sa.Column('total', sa.Integer(), nullable=False),
        sa.Column('moved', sa.Integer(), nullable=False),
        sa.Column('moving', sa.Integer(), nullable=False),
        sa.Column('reason', sa.Text(), nullable=True),
        sa.Column('details', sa.Text(), nullable=True),
        sa.Column('started_at', UtcDateTime(timezone=True), nullable=True),
        sa.Column('finished_at', UtcDateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ['rollover_id'],
            ['rollovers.id'],
            name=op.f('fk_rollover_status_rollover_id_rollovers'),
            ondelete='CASCADE',
        ),
        sa.PrimaryKeyConstraint('rollover_id', name=op.f('pk_rollover_status')),
    )


def downgrade() -> None:
    op.drop_table('rollover_status')
    op.drop_table('rollovers')
    op.drop_column('bot_status', 'fork_server')
