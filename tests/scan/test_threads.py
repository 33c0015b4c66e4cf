"""The scan gives the same bits whichever threads and processes work at it."""

import multiprocessing
import threading

import numpy as np
import pytest
import torch

from posemamba.scan import directional_scan, selective_scan
from posemamba.scan.cpu.lanes import LANES


def scan_all(batch=1, channels_a_group=19, dtype=torch.float32):
    """Output and all gradients of a scan with channels that do not fill their vectors, and of a directional
    one."""
    generator = torch.Generator().manual_seed(batch)

    def draw(*shape):
        return torch.randn(*shape, generator=generator).to(dtype).requires_grad_()

    inner, N, L = channels_a_group, 5, 70
    leaves = [draw(batch, 3 * inner, L), draw(batch, 3 * inner, L), draw(3 * inner, N)]
    leaves += [draw(batch, 3, N, L), draw(batch, 3, N, L), draw(3 * inner)]
    y = selective_scan(leaves[0], leaves[1], -leaves[2].abs(), *leaves[3:], delta_softplus=True)
    results = [y, *torch.autograd.grad(y.square().sum(), leaves)]
    reads = torch.stack([torch.randperm(L, generator=generator) for _ in range(3)]).int()
    mixes = torch.randint(-1, L, (3, L), generator=generator, dtype=torch.int32)
    leaves = [draw(batch, L, inner), draw(batch, 3, L, inner), draw(3, inner, N)]
    leaves += [draw(batch, 3, L, N), draw(batch, 3, L, N), draw(3, inner)]
    y = directional_scan(
        leaves[0], leaves[1], -leaves[2].abs(), *leaves[3:], reads, mixes, delta_softplus=True
    )
    return [value.detach() for value in (*results, y, *torch.autograd.grad(y.square().sum(), leaves))]


def same(found, expected):
    return all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("batch", [1, 2, 5])
@pytest.mark.parametrize("inner", [1, 19, 16 * LANES + 1])
def test_threads_change_no_bit_of_any_result(batch, inner):
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append(scan_all(batch, inner))
    finally:
        torch.set_num_threads(before)
    assert same(results[1], results[0]) and same(results[2], results[0])


def test_gradients_from_several_threads_at_once():
    expected, found = {batch: scan_all(batch) for batch in (1, 2, 3)}, {}
    before = torch.get_num_threads()

    def work(i):
        torch.set_num_threads(1 + i % 3)  # the pool of another thread may be larger
        found[i] = [scan_all(1 + i % 3) for _ in range(3)]

    workers = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    torch.set_num_threads(before)
    assert all(same(results, expected[1 + i % 3]) for i in range(6) for results in found[i])


def _in_child(queue):
    queue.put(all(same(scan_all(batch), scan_all(batch)) for batch in (1, 2)))
    queue.put([value.numpy() for value in scan_all(2)])


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="cannot fork")
def test_a_forked_child_has_its_own_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        expected = scan_all(2)  # the parent's pool exists when the child begins
        context = multiprocessing.get_context("fork")
        queue = context.Queue()
        child = context.Process(target=_in_child, args=(queue,))
        child.start()
        assert queue.get(timeout=60)
        found = queue.get(timeout=60)
        child.join(60)
    finally:
        torch.set_num_threads(before)
    assert child.exitcode == 0
    assert all(np.array_equal(a, b.numpy()) for a, b in zip(found, expected, strict=True))


class _Gradients(torch.utils.data.Dataset):
    def __len__(self):
        return 2

    def __getitem__(self, i):
        return torch.cat([value.flatten() for value in scan_all(2)])


@pytest.mark.parametrize("how", ["fork", "spawn"])
def test_loader_workers_find_the_same_gradients(how):
    if how not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {how} here")
    loader = torch.utils.data.DataLoader(
        _Gradients(), batch_size=2, num_workers=1, multiprocessing_context=how, timeout=120
    )
    expected = _Gradients()[0]
    for found in next(iter(loader)):
        assert torch.equal(found, expected)
