"""Deployments: flows that the server knows, and runs of them."""

from __future__ import annotations

from typing import NoReturn

from penstock.sdk import absent
from penstock.sdk.deployment_runs import DeploymentRun, run_deployment
from penstock.sdk.deployments import Deployment

__all__ = ["Deployment", "DeploymentRun", "run_deployment"]


def __getattr__(name: str) -> NoReturn:
    spec = "`Deployment.build_from_flow(flow=…, name=…).apply()` does what it did"
    absent.refuse(__name__, name, {"DeploymentSpec": spec})
