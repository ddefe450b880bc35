"""secrets of each bot's own

Revision: 0013
Before it: 0012
"""

import sqlalchemy as sa
from alembic import op

from flotilla.db.tables import UtcDateTime

revision = '0013'
down_revision = '0012'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('bots', sa.Column('secrets_version', sa.Integer(), server_default='0', nullable=False))
    op.add_column('bots', sa.Column('secret_names', sa.JSON(), nullable=True))
    op.create_table(
        'bot_secrets',
        sa.Column('bot_id', sa.String(length=26), nullable=False),
        sa.Column('name', sa.String(length=64), nullable=False),
        sa.Column('value_encrypted', sa.LargeBinary(), nullable=False),
        sa.Column('changed_at', UtcDateTime(timezone=True), nullable=False),
        sa.Column('changed_by', sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(['bot_id'], ['bots.id'], name=op.f('fk_bot_secrets_bot_id_bots'), ondelete='CASCADE'),
        sa.PrimaryKeyConstraint('bot_id', 'name', name=op.f('pk_bot_secrets')),
    )


def downgrade() -> None:
    op.drop_table('bot_secrets')
    op.drop_column('bots', 'secret_names')
    op.drop_column('bots', 'secrets_version')
