"""a policy of its own for each bot, vitals, what happened, and the ledger of session starts

Revision: 0004
Before it: 0003

A program of the release before goes on writing rows without the new columns: they stay empty, which means as the fleet.
"""

import sqlalchemy as sa
from alembic import op

from flotilla.db.tables import UtcDateTime

revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('bots', sa.Column('overrides', sa.JSON(), nullable=True))
    op.add_column('bot_status', sa.Column('vitals', sa.JSON(), nullable=True))
    op.add_column('supervisors', sa.Column('vitals', sa.JSON(), nullable=True))
    op.create_table(
        'happenings',
        sa.Column('id', sa.String(length=26), nullable=False),
        sa.Column('bot_id', sa.String(length=26), nullable=True),
        sa.Column('at', UtcDateTime(timezone=True), nullable=False),
        sa.Column('code', sa.String(length=64), nullable=False),
        sa.Column('detail', sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ['bot_id'], ['bots.id'], name=op.f('fk_happenings_bot_id_bots'), ondelete='CASCADE'
        ),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_happenings')),
    )
    op.create_index('ix_happenings_bot_id_id', 'happenings', ['bot_id', 'id'], unique=False)
    op.create_table(
        'session_starts',
        sa.Column('id', sa.Integer(), autoincrement=True, nullable=False),
        sa.Column('application_id', sa.String(length=20), nullable=False),
        sa.Column('at', UtcDateTime(timezone=True), nullable=False),
        sa.Column('cause', sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_session_starts')),
    )
    op.create_index('ix_session_starts_application_id_at', 'session_starts', ['application_id', 'at'], unique=False)
    op.create_table(
        'session_limits',
        sa.Column('application_id', sa.String(length=20), nullable=False),
        sa.Column('url', sa.Text(), nullable=False),
        sa.Column('shards', sa.Integer(), nullable=False),
        sa.Column('total', sa.Integer(), nullable=False),
        sa.Column('remaining', sa.Integer(), nullable=False),
        sa.Column('max_concurrency', sa.Integer(), nullable=False),
        sa.Column('resets_at', UtcDateTime(timezone=True), nullable=False),
        sa.Column('seen_at', UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint('application_id', name=op.f('pk_session_limits')),
    )


def downgrade() -> None:
    op.drop_table('session_limits')
    op.drop_index('ix_session_starts_application_id_at', table_name='session_starts')
    op.drop_table('session_starts')
    op.drop_index('ix_happenings_bot_id_id', table_name='happenings')
    op.drop_table('happenings')
    for table, column in (('supervisors', 'vitals'), ('bot_status', 'vitals'), ('bots', 'overrides')):
        with op.batch_alter_table(table, schema=None) as batch_op:
            batch_op.drop_column(column)
