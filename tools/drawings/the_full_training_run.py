"""Drawings of "The full training run"."""

from tools.drawings.pen import BLUE, GREEN, ORANGE, arrow, cells, line, shape, words


def kill() -> tuple[str, str, int, list[str]]:
    """A run left alone, one that was killed, and what it takes to do the lost steps again."""
    size, start = 32, 20
    parts = [words((start, 18), "left alone: twelve steps", bold=True)]
    parts += cells((start, 28), size, range(1, 13), BLUE)
    parts += [words((start, 80), "killed in step 11", bold=True)]
    parts += cells((start, 90), size, [*range(1, 11)], BLUE, pale=(8, 9))
    cut = start + 10.5 * size
    for way in ((-7, 7), (7, 7)):
        parts += [line((cut - way[0], 100 - way[1]), (cut + way[0], 100 + way[1]), ORANGE, 3.5)]
    parts += [words((cut + 14, 105), "SIGKILL", ORANGE)]
    for step in (4, 8):
        at = start + step * size
        parts += [line((at, 86), (at, 118), GREEN, 3)]
    parts += [words((start + 4 * size, 134), "checkpoint", GREEN, anchor="middle")]
    parts += [words((start + 8 * size, 134), "checkpoint", GREEN, anchor="middle")]
    parts += arrow((start + 8 * size, 142), (start + 8 * size, 164), GREEN)
    parts += [words((start, 168), "resumed", bold=True)]
    parts += cells((start + 8 * size, 170), size, range(9, 13), BLUE)
    parts += [words((start, 190), "9 and 10 are done again")]
    parts += [shape([(start, 212), (250, 212), (250, 336), (start, 336)], GREEN, GREEN, 0.1)]
    parts += [shape([(266, 212), (500, 212), (500, 336), (266, 336)], BLUE, BLUE, 0.1)]
    held = ("in the checkpoint", "the step\u2019s number", "the weights", "AdamW\u2019s two averages")
    follows = ("from seed and number", "first weights, learning rate", "windows, cameras, flips")
    held, follows = (
        (*held, "validations so far"),
        (*follows, "a detector\u2019s errors", "branches that are skipped"),
    )
    for x, listed, colour in ((32, held, GREEN), (278, follows, BLUE)):
        for k, text in enumerate(listed):
            parts += [words((x, 233 + 22 * k), text, colour if not k else "currentColor", bold=not k)]
    alt = (
        "Twelve steps in a row. Below them a run with checkpoints after steps 4 and 8 that is killed in step "
        "11: steps 9 and 10 are lost. The resumed run starts at the checkpoint after 8 and does 9 to 12. In "
        "the checkpoint: the step's number, weights, AdamW's averages, validations. From seed and number "
        "follow first weights, learning rate, windows, cameras, flips, noise and skipped branches."
    )
    return "A killed run and its checkpoints", alt, 346, parts


def processes() -> tuple[str, str, int, list[str]]:
    """Two processes in one step: each has half of the batch, gradients are averaged, one writes."""
    left, right = 130, 390
    parts = [words((260, 18), "one step\u2019s batch, drawn alike in both", anchor="middle", bold=True)]
    parts += cells((188, 28), 36, ["a", "b", "c", "d"])
    for middle, colour, own, rank in ((left, BLUE, "ab", 0), (right, ORANGE, "cd", 1)):
        parts += arrow((224 if rank == 0 else 296, 52), (middle, 84), colour)
        box = [(middle - 110, 90), (middle + 110, 90), (middle + 110, 196), (middle - 110, 196)]
        parts += [shape(box, colour, colour, 0.1)]
        parts += [
            words((middle, 112), f"process {rank}: windows {own[0]} and {own[1]}", colour, anchor="middle")
        ]
        for k, text in enumerate(("all of the weights", "forward, loss, backward", "its own mean gradient")):
            parts += [words((middle, 136 + 23 * k), text, anchor="middle")]
        parts += arrow((middle, 200), (260 - 76 if rank == 0 else 260 + 76, 232), colour)
        parts += arrow((260 - 76 if rank == 0 else 260 + 76, 262), (middle, 292), colour)
        parts += [words((middle, 312), "the same AdamW step", anchor="middle")]
        parts += [words((middle, 333), "the same weights again", anchor="middle")]
    bar = [(150, 234), (370, 234), (370, 260), (150, 260)]
    parts += [
        shape(bar, GREEN, GREEN, 0.2),
        words((260, 252), "all-reduce: the mean", GREEN, anchor="middle"),
    ]
    parts += [words((left, 360), "and writes: checkpoint,", BLUE, anchor="middle")]
    parts += [words((left, 380), "curve, best weights", BLUE, anchor="middle")]
    parts += [words((right, 360), "writes nothing", ORANGE, anchor="middle")]
    alt = (
        "A batch of four windows a, b, c, d. Process 0 works on a and b, process 1 on c and d, each with "
        "all weights: forward, loss, backward, its own mean gradient. An all-reduce makes the mean of both "
        "gradients. Each then makes the same step of AdamW and has the same weights. Process 0 alone writes."
    )
    return "One step in two processes", alt, 392, parts
