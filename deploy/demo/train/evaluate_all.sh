#!/bin/sh
# The figures of README.md: the main measurement and the negative controls, on two cores.
#
#     ./evaluate_all.sh ../wan-tiny-t2v
set -e
cd "$(dirname "$0")"
export OMP_NUM_THREADS=1
mkdir -p eval
run() {
    name=$1
    shift
    python evaluate.py "$model" --cfg 5 --json "eval/$name.json" "$@" >"eval/$name.txt"
}
model=${1:-../wan-tiny-t2v}
{
    run everything -n 63 --batch 9 --sheet eval/everything.png
    run zero_text -n 28 --batch 7 --control zero_text
} &
run plain -n 42 --batch 7 --seed 4321 --neutral --sheet eval/plain.png
run swapped -n 28 --batch 7 --control swap
run high_only -n 14 --batch 7 --control no_boundary
run low_only -n 14 --batch 7 --control low_only
wait
head -qn 1 eval/*.txt
