"""how each bot and each guild is to be, and what came of it

Revision: 0009
Before it: 0008
"""

import sqlalchemy as sa
from alembic import op

from flotilla.db.tables import UtcDateTime

revision = '0009'
down_revision = '0008'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('bots', sa.Column('config', sa.JSON(), nullable=True))
    op.add_column('bots', sa.Column('config_version', sa.Integer(), server_default='0', nullable=False))
    op.add_column('bots', sa.Column('guilds_version', sa.Integer(), server_default='0', nullable=False))
    op.add_column('bot_status', sa.Column('config_version', sa.Integer(), nullable=True))
    op.create_table(
        'bot_configs',
        sa.Column('bot_id', sa.String(length=26), nullable=False),
        sa.Column('version', sa.Integer(), autoincrement=False, nullable=False),
        sa.Column('config', sa.JSON(), nullable=True),
        sa.Column('at', UtcDateTime(timezone=True), nullable=False),
        sa.Column('changed_by', sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(['bot_id'], ['bots.id'], name=op.f('fk_bot_configs_bot_id_bots'), ondelete='CASCADE'),
        sa.PrimaryKeyConstraint('bot_id', 'version', name=op.f('pk_bot_configs')),
    )
    op.create_table(
        'guild_configs',
        sa.Column('bot_id', sa.String(length=26), nullable=False),
        sa.Column('guild_id', sa.String(length=20), nullable=False),
        sa.Column('config', sa.JSON(), nullable=False),
        sa.Column('version', sa.Integer(), nullable=False),
        sa.Column('guilds_version', sa.Integer(), nullable=False),
        sa.Column('updated_at', UtcDateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(['bot_id'], ['bots.id'], name=op.f('fk_guild_configs_bot_id_bots'), ondelete='CASCADE'),
        sa.PrimaryKeyConstraint('bot_id', 'guild_id', name=op.f('pk_guild_configs')),
    )
    op.create_index('ix_guild_configs_bot_id_guilds_version', 'guild_configs', ['bot_id', 'guilds_version'])
    op.create_table(
        'config_outcomes',
        sa.Column('bot_id', sa.String(length=26), nullable=False),
        sa.Column('good_version', sa.Integer(), nullable=True),
        sa.Column('good', sa.JSON(), nullable=True),
        sa.Column('refused_version', sa.Integer(), nullable=True),
        sa.Column('code', sa.String(length=64), nullable=True),
        sa.Column('detail', sa.Text(), nullable=True),
        sa.Column('at', UtcDateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ['bot_id'], ['bots.id'], name=op.f('fk_config_outcomes_bot_id_bots'), ondelete='CASCADE'
        ),
        sa.PrimaryKeyConstraint('bot_id', name=op.f('pk_config_outcomes')),
    )


def downgrade() -> None:
    op.drop_table('config_outcomes')
    op.drop_index('ix_guild_configs_bot_id_guilds_version', table_name='guild_configs')
    op.drop_table('guild_configs')
    op.drop_table('bot_configs')
    op.drop_column('bot_status', 'config_version')
    op.drop_column('bots', 'guilds_version')
    op.drop_column('bots', 'config_version')
    op.drop_column('bots', 'config')
