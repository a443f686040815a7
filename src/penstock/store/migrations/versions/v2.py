"""Deployments, schedules, work pools, workers and what they claim. The version before, the first, is no revision."""

from __future__ import annotations

from penstock.store.upgrading import run_file

revision = "2"
down_revision = None


def upgrade() -> None:
    run_file("v2.sql")
