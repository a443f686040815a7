"""`get_client`, at a server's store or the home's own."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from penstock import errors, flow, get_client
from penstock.client import get_client as of_old


@flow
def greet(name: str = "world") -> None:
    """A flow to deploy."""


@pytest.fixture
def greeting(home: Path) -> str:
    return greet.deploy("greeting", print_next_steps=False)


def test_deployments_are_found_and_run_in_async_code(greeting: str):
    async def ask() -> list[str]:
        async with get_client() as client:
            (found,) = await client.read_deployments()
            by_name = await client.read_deployment_by_name("greet/greeting")
            run = await client.create_flow_run_from_deployment(found.id, parameters={"name": "Ada"}, tags=["asked"])
            again = await client.read_flow_run(run.id)
            runs = await client.read_flow_runs()
            assert [each.id for each in runs] == [run.id]
            return [by_name.id, again.state_name, *again.tags]

    assert asyncio.run(ask()) == [greeting, "Scheduled", "asked"]


def test_in_sync_code_the_answers_are_there_at_once(greeting: str):
    with of_old(sync_client=True) as client:
        assert client.read_deployment(greeting).full_name == "greet/greeting"
        client.delete_deployment(greeting)
        assert client.read_deployments() == []
        with pytest.raises(errors.NotFound):
            client.read_deployment_by_name("greet/greeting")


def test_parameters_that_do_not_fit_are_refused(greeting: str):
    with get_client(sync_client=True) as client, pytest.raises(errors.ParameterError, match="nobody"):
        client.create_flow_run_from_deployment(greeting, parameters={"nobody": 1})


def test_what_it_cannot_do_is_said_with_what_it_can():
    client = get_client(sync_client=True)

    with pytest.raises(AttributeError, match=r"has no `set_flow_run_state`. It has .*`read_flow_run`.* HTTP API"):
        client.set_flow_run_state()
