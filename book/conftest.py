"""How chapters are tested: `pytest --nbval book/` runs them and compares outputs with the stored ones."""

import os

# A figure's JSON holds every digit of its data. Its text/plain form, which names the figure, is compared.
FIGURE = "application/vnd.plotly.v1+json"

# The kernels that nbval starts inherit these.
os.environ.update(SCALE="small", POSEMAMBA_TINY="0", POSEMAMBA_RENDERER="book")


def pytest_collectstart(collector):
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += (FIGURE,)
