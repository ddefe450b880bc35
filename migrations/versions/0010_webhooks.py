"""operators' webhooks and their deliveries

Revision: 0010
Before it: 0009
"""

import sqlalchemy as sa
from alembic import op

from flotilla.db.tables import UtcDateTime

revision = '0010'
down_revision = '0009'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        'webhooks',
        sa.Column('id', sa.String(length=26), nullable=False),
        sa.Column('url', sa.Text(), nullable=False),
        sa.Column('secret_encrypted', sa.LargeBinary(), nullable=False),
        sa.Column('kinds', sa.JSON(), nullable=False),
        sa.Column('bots', sa.JSON(), nullable=False),
        sa.Column('tags', sa.JSON(), nullable=False),
        sa.Column('enabled', sa.Boolean(), nullable=False),
        sa.Column('created_at', UtcDateTime(timezone=True), nullable=False),
        sa.Column('last_status', sa.Integer(), nullable=True),
        sa.Column('last_error', sa.String(length=200), nullable=True),
        sa.Column('last_at', UtcDateTime(timezone=True), nullable=True),
        sa.Column('failures', sa.Integer(), nullable=False),
        sa.Column('failing_since', UtcDateTime(timezone=True), nullable=True),
        sa.Column('why_disabled', sa.String(length=200), nullable=True),
        sa.Column('dropped', sa.Integer(), nullable=False),
        sa.Column('retry_at', UtcDateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_webhooks')),
    )
    op.create_table(
        'webhook_deliveries',
        sa.Column('id', sa.String(length=26), nullable=False),
        sa.Column('webhook_id', sa.String(length=26), nullable=False),
        sa.Column('happening_id', sa.String(length=26), nullable=True),
        sa.Column('kind', sa.String(length=64), nullable=False),
        sa.Column('body', sa.Text(), nullable=False),
        sa.Column('created_at', UtcDateTime(timezone=True), nullable=False),
        sa.Column('state', sa.String(length=16), nullable=False),
        sa.Column('attempts', sa.Integer(), nullable=False),
        sa.Column('next_at', UtcDateTime(timezone=True), nullable=True),
        sa.Column('last_status', sa.Integer(), nullable=True),
        sa.Column('last_error', sa.String(length=200), nullable=True),
        sa.Column('finished_at', UtcDateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ['webhook_id'],
            ['webhooks.id'],
            name=op.f('fk_webhook_deliveries_webhook_id_webhooks'),
            ondelete='CASCADE',
        ),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_webhook_deliveries')),
        sa.UniqueConstraint('webhook_id', 'happening_id', name=op.f('uq_webhook_deliveries_webhook_id_happening_id')),
    )
    op.create_index(
        'ix_webhook_deliveries_webhook_id_state_next_at', 'webhook_deliveries', ['webhook_id', 'state', 'next_at']
    )
    op.create_index('ix_webhook_deliveries_webhook_id_id', 'webhook_deliveries', ['webhook_id', 'id'])


def downgrade() -> None:
    op.drop_table('webhook_deliveries')
    op.drop_table('webhooks')
