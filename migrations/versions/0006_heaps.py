"""what a bot's memory is made of, as asked for

Revision: 0006
Before it: 0005
"""

import sqlalchemy as sa
from alembic import op

from flotilla.db.tables import UtcDateTime

revision = '0006'
down_revision = '0005'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('bots', sa.Column('heap_epoch', sa.Integer(), server_default='0', nullable=False))
    op.add_column('bots', sa.Column('heap_trace_s', sa.Float(), server_default='0', nullable=False))
    op.create_table(
        'bot_heaps',
        sa.Column('bot_id', sa.String(length=26), nullable=False),
        sa.Column('epoch', sa.Integer(), nullable=False),
        sa.Column('at', UtcDateTime(timezone=True), nullable=False),
        sa.Column('generation', sa.Integer(), nullable=False),
        sa.Column('report', sa.JSON(none_as_null=True), nullable=True),
        sa.Column('fault', sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(['bot_id'], ['bots.id'], name=op.f('fk_bot_heaps_bot_id_bots'), ondelete='CASCADE'),
        sa.PrimaryKeyConstraint('bot_id', name=op.f('pk_bot_heaps')),
    )


def downgrade() -> None:
    op.drop_table('bot_heaps')
    with op.batch_alter_table('bots', schema=None) as batch_op:
        batch_op.drop_column('heap_trace_s')
        batch_op.drop_column('heap_epoch')
