"""which installation runs the bots of this database, and a clock that does not jump

Revision: 0012
Before it: 0011
"""

import sqlalchemy as sa
from alembic import op

from flotilla.db.tables import UtcDateTime

revision = '0012'
down_revision = '0011'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        'supervisor_claims',
        sa.Column('slot', sa.Integer(), autoincrement=False, nullable=False),
        sa.Column('epoch', sa.BigInteger(), nullable=False),
        sa.Column('installation_id', sa.String(length=26), nullable=False),
        sa.Column('boot_id', sa.String(length=64), nullable=False),
        sa.Column('place', sa.String(length=64), nullable=False),
        sa.Column('home', sa.Text(), nullable=False),
        sa.Column('hostname', sa.Text(), nullable=False),
        sa.Column('pid', sa.Integer(), nullable=False),
        sa.Column('claimed_at', UtcDateTime(timezone=True), nullable=False),
        sa.Column('beat_at', UtcDateTime(timezone=True), nullable=False),
        sa.Column('beats', sa.BigInteger(), nullable=False),
        sa.Column('released', sa.Boolean(), nullable=False),
        sa.Column('yielded', sa.Boolean(), nullable=False),
        sa.Column('processes_boot_id', sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint('slot', name=op.f('pk_supervisor_claims')),
    )
    op.create_table(
        'clocks',
        sa.Column('name', sa.String(length=32), nullable=False),
        sa.Column('confirmed_at', UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint('name', name=op.f('pk_clocks')),
    )


def downgrade() -> None:
    op.drop_table('clocks')
    op.drop_table('supervisor_claims')
