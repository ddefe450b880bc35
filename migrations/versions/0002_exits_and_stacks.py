"""exits of bots, and stacks on demand

Revision: 0002
Before it: 0001
"""

import sqlalchemy as sa
from alembic import op

from flotilla.db.tables import UtcDateTime

revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None


def upgrade() -> None:
    # New columns have defaults or may be null, so that the release before can still write these tables.
    # No batch: SQLite would make the tables anew, and dropping the old one would cascade.
    op.add_column('bots', sa.Column('stacks_epoch', sa.Integer(), server_default='0', nullable=False))
    op.add_column('bot_status', sa.Column('heartbeat_at', UtcDateTime(timezone=True), nullable=True))
    op.create_table('bot_exits',
    sa.Column('id', sa.String(length=26), nullable=False),
    sa.Column('bot_id', sa.String(length=26), nullable=False),
    sa.Column('at', UtcDateTime(timezone=True), nullable=False),
    sa.Column('generation', sa.Integer(), nullable=False),
    sa.Column('exit_code', sa.Integer(), nullable=True),
    sa.Column('reason', sa.String(length=64), nullable=True),
    sa.Column('tail', sa.Text(), nullable=False),
    sa.ForeignKeyConstraint(['bot_id'], ['bots.id'], name=op.f('fk_bot_exits_bot_id_bots'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_bot_exits'))
    )
    with op.batch_alter_table('bot_exits', schema=None) as batch_op:
        batch_op.create_index('ix_bot_exits_bot_id_id', ['bot_id', 'id'], unique=False)
    op.create_table('bot_stacks',
    sa.Column('bot_id', sa.String(length=26), nullable=False),
    sa.Column('epoch', sa.Integer(), nullable=False),
    sa.Column('at', UtcDateTime(timezone=True), nullable=False),
    sa.Column('generation', sa.Integer(), nullable=False),
    sa.Column('text', sa.Text(), nullable=True),
    sa.Column('fault', sa.Text(), nullable=True),
    sa.ForeignKeyConstraint(['bot_id'], ['bots.id'], name=op.f('fk_bot_stacks_bot_id_bots'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('bot_id', name=op.f('pk_bot_stacks'))
    )


def downgrade() -> None:
    op.drop_table('bot_stacks')
    with op.batch_alter_table('bot_exits', schema=None) as batch_op:
        batch_op.drop_index('ix_bot_exits_bot_id_id')
    op.drop_table('bot_exits')
    op.drop_column('bot_status', 'heartbeat_at')
    op.drop_column('bots', 'stacks_epoch')
