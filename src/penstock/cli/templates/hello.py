"""A first flow. Run it: ``penstock run hello.py`` or ``python hello.py``."""

from penstock import flow, task


@task
def greeting(name: str) -> str:
    return f"Hello, {name}!"


@flow(log_prints=True)
def hello(names: tuple[str, ...] = ("world", "Penstock")) -> list[str]:
    """Greet everybody, each in a task of its own."""
    greetings = greeting.map(names).result()
    for each in greetings:
        print(each)
    return greetings


if __name__ == "__main__":
    hello()
