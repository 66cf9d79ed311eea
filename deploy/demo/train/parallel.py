"""Data parallelism over CPU cores: one single-threaded process per core, gradients averaged once per step.

On a shared 2-core machine this beats `torch.set_num_threads(2)` by far (no thread barrier per operation).
Run scripts through `torchrun --nproc-per-node 2 script.py ...`, or directly for a single process.
"""

import os

import torch
import torch.distributed as dist

RANK, WORLD = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


def init():
    torch.set_num_threads(1)
    if WORLD > 1:
        dist.init_process_group("gloo")


def average_grads(params):
    if WORLD > 1:
        flat = torch.cat([(p.grad if p.grad is not None else torch.zeros_like(p)).flatten() for p in params])
        dist.all_reduce(flat)
        flat /= WORLD
        i = 0
        for p in params:
            n = p.numel()
            if p.grad is None:
                p.grad = torch.zeros_like(p)
            p.grad.copy_(flat[i : i + n].view_as(p))
            i += n


def agree(value: float) -> float:
    """Rank 0's value on every rank (so that time-based schedules stay in step)."""
    if WORLD > 1:
        t = torch.tensor([value], dtype=torch.float64)
        dist.broadcast(t, 0)
        return t.item()
    return value


class ConvMuon(torch.optim.Optimizer):
    """Muon (momentum + Newton-Schulz orthogonalised update) for convolution weights, viewed as [out, rest]."""

    def __init__(self, params, lr=1e-3, momentum=0.95, weight_decay=1e-4):
        super().__init__(params, dict(lr=lr, momentum=momentum, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self):
        for g in self.param_groups:
            for p in g["params"]:
                buf = self.state[p].setdefault("m", torch.zeros_like(p))
                buf.lerp_(p.grad, 1 - g["momentum"])
                x = p.grad.lerp(buf, g["momentum"]).reshape(p.shape[0], -1)
                scale = 0.2 * max(x.shape) ** 0.5
                if tall := x.shape[0] > x.shape[1]:
                    x = x.T
                x = x / (x.norm() + 1e-12)
                for _ in range(5):
                    a = x @ x.T
                    x = 3.4445 * x + (-4.775 * a + 2.0315 * a @ a) @ x
                x = x.T if tall else x
                p.mul_(1 - g["lr"] * g["weight_decay"]).add_(x.reshape(p.shape), alpha=-g["lr"] * scale)
