"""what a bot has in stock, and orders to register its commands

Revision: 0011
Before it: 0010
"""

import sqlalchemy as sa
from alembic import op

from flotilla.db.tables import UtcDateTime

revision = '0011'
down_revision = '0010'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('bots', sa.Column('commands_epoch', sa.Integer(), server_default='0', nullable=False))
    op.create_table(
        'stock_items',
        sa.Column('bot_id', sa.String(length=26), nullable=False),
        sa.Column('sku', sa.String(length=40), nullable=False),
        sa.Column('name', sa.String(length=100), nullable=False),
        sa.Column('category', sa.String(length=50), nullable=False),
        sa.Column('description', sa.Text(), nullable=False),
        sa.Column('price', sa.String(length=50), nullable=False),
        sa.Column('quantity', sa.BigInteger(), nullable=False),
        sa.Column('low_at', sa.BigInteger(), nullable=False),
        sa.Column('updated_at', UtcDateTime(timezone=True), nullable=False),
        sa.Column('folded', sa.Text(), nullable=False),
        sa.CheckConstraint('quantity >= 0', name=op.f('ck_stock_items_quantity_not_negative')),
        sa.ForeignKeyConstraint(['bot_id'], ['bots.id'], name=op.f('fk_stock_items_bot_id_bots'), ondelete='CASCADE'),
        sa.PrimaryKeyConstraint('bot_id', 'sku', name=op.f('pk_stock_items')),
    )


def downgrade() -> None:
    op.drop_table('stock_items')
    with op.batch_alter_table('bots', schema=None) as batch_op:
        batch_op.drop_column('commands_epoch')
