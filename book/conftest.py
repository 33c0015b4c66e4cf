"""`pytest --nbval book/` runs the chapters and compares their outputs."""

import os

# A figure's JSON holds every digit of its data. What is compared is its
# text/plain form, which names the figure.
FIGURE = "application/vnd.plotly.v1+json"

# The kernels that nbval starts inherit these.
os.environ.update(
    SCALE="small", POSEMAMBA_TINY="0", POSEMAMBA_RENDERER="book"
)


def pytest_collectstart(collector):
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += (FIGURE,)
