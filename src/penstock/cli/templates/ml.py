"""Train several models at once, and keep the best.

Run it: ``penstock run ml.py`` or ``penstock run ml.py -p 'rates=[0.001, 0.01, 0.1]'``. It needs no library;
put your own training into ``train``.
"""

from dataclasses import dataclass

from penstock import flow, task, unmapped

Points = list[tuple[float, float]]


@dataclass
class Model:
    """A line through points, and how far it is from them."""

    rate: float
    slope: float
    offset: float
    error: float


@task
def load_points(count: int) -> Points:
    """Points around the line y = 3x + 2; load your data here."""
    return [(x / count, 3 * x / count + 2 + 0.1 * (x % 7 - 3)) for x in range(count)]


@task
def train(points: Points, rate: float, epochs: int) -> Model:
    """Fit a line by gradient descent."""
    slope = offset = 0.0
    for _ in range(epochs):
        misses = [(slope * x + offset - y, x) for x, y in points]
        slope -= rate * 2 * sum(miss * x for miss, x in misses) / len(points)
        offset -= rate * 2 * sum(miss for miss, _ in misses) / len(points)
    error = sum((slope * x + offset - y) ** 2 for x, y in points) / len(points)
    return Model(rate, slope, offset, error)


@flow(log_prints=True)
def ml(rates: tuple[float, ...] = (0.003, 0.03, 0.3), epochs: int = 200, count: int = 200) -> Model:
    """Train one model for each learning rate, all at once, and return the one with the least error."""
    points = load_points(count)
    models = train.map(unmapped(points), rates, epochs).result()
    for model in sorted(models, key=lambda each: each.error):
        print(f"rate {model.rate:g}: error {model.error:.4f}, y = {model.slope:.2f} x + {model.offset:.2f}")
    return min(models, key=lambda each: each.error)


if __name__ == "__main__":
    ml()
