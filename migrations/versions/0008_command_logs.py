"""what users did with each bot

Revision: 0008
Before it: 0007
"""

import sqlalchemy as sa
from alembic import op

from flotilla.db.tables import UtcDateTime

revision = '0008'
down_revision = '0007'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        'command_logs',
        sa.Column('id', sa.String(length=26), nullable=False),
        sa.Column('bot_id', sa.String(length=26), nullable=False),
        sa.Column('at', UtcDateTime(timezone=True), nullable=False),
        sa.Column('kind', sa.String(length=16), nullable=False),
        sa.Column('name', sa.String(length=100), nullable=False),
        sa.Column('outcome', sa.String(length=16), nullable=False),
        sa.Column('interaction_id', sa.BigInteger(), nullable=False),
        sa.Column('user_id', sa.BigInteger(), nullable=False),
        sa.Column('guild_id', sa.BigInteger(), nullable=True),
        sa.Column('channel_id', sa.BigInteger(), nullable=True),
        sa.Column('options', sa.JSON(), nullable=False),
        sa.Column('first_ms', sa.Float(), nullable=True),
        sa.Column('total_ms', sa.Float(), nullable=True),
        sa.Column('deferred', sa.Boolean(), nullable=False),
        sa.Column('error', sa.String(length=200), nullable=True),
        sa.Column('reference', sa.String(length=26), nullable=True),
        sa.ForeignKeyConstraint(['bot_id'], ['bots.id'], name=op.f('fk_command_logs_bot_id_bots'), ondelete='CASCADE'),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_command_logs')),
    )
    op.create_index('ix_command_logs_bot_id_id', 'command_logs', ['bot_id', 'id'])
    op.create_index('ix_command_logs_reference', 'command_logs', ['reference'])


def downgrade() -> None:
    op.drop_index('ix_command_logs_reference', table_name='command_logs')
    op.drop_index('ix_command_logs_bot_id_id', table_name='command_logs')
    op.drop_table('command_logs')
