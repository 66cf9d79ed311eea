#!/bin/sh
# The whole recipe on two CPU cores, about 110 minutes when the cores are free. The shipped weights came out of the same
# stages with restarts in between (README.md); in one piece this has not been run to its end.
set -e
cd "$(dirname "$0")"
export OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE
mkdir -p ckpt logs
python train_tokenizer.py
nice -n 5 torchrun --nproc-per-node 2 train_vae.py --minutes 4 10 0 --lr 2e-3 --kl 2e-3
nice -n 5 torchrun --nproc-per-node 2 train_vae.py --minutes 0 0 6 --lr 2e-3 --kl 5e-4 --resume
nice -n 5 torchrun --nproc-per-node 2 train_dit.py base --minutes 35
nice -n 5 python train_dit.py high --lr 1.5e-3 --minutes 15 > logs/high.log 2>&1 &
nice -n 5 python train_dit.py low --lr 1.5e-3 --minutes 15 > logs/low.log 2>&1
wait
nice -n 5 torchrun --nproc-per-node 2 train_dit.py both --lr 1e-3 --minutes 28
python export.py
./evaluate_all.sh wan-tiny-t2v
