"""What runs have published."""

from __future__ import annotations

from penstock.core.operations import Page, checked_limit
from penstock.core.operations import artifacts as ask
from penstock.core.runs import Artifact
from penstock.orchestration import overview
from penstock.store.interface import Transaction


def list_artifacts(tx: Transaction, given: ask.ListArtifacts) -> Page[Artifact]:
    page = overview.artifacts(
        tx,
        flow_run_id=None if given.run is None else overview.flow_run(tx, given.run).id,
        subflows=given.subflows,
        key=given.key,
        kind=given.kind,
        limit=checked_limit(given.limit),
        cursor=given.after,
    )
    return Page(items=page.items, next=page.next)


def get_artifact(tx: Transaction, given: ask.GetArtifact) -> Artifact:
    return overview.artifact(tx, given.artifact)
