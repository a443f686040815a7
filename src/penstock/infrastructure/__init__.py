"""What the runs of a deployment execute in: what ``infrastructure=`` takes."""

from __future__ import annotations

from penstock.sdk.infrastructure import DockerContainer, Infrastructure, KubernetesJob, Process

__all__ = ["DockerContainer", "Infrastructure", "KubernetesJob", "Process"]
