"""The benchmark: what a proxy costs beside others, on one machine, in one run.

``python -m bench`` (or ``make bench``) starts each contender between a load generator and a mock
provider, runs every workload against all of them in interleaved rounds, and prints what each cost
and the ratio to nginx within the same round. Linux only: it reads the kernel's accounting.

- ``contenders``: who is measured; ``workloads``: with what; ``options``: how long
- ``load/``: load generator and mock in C; ``fallback``: the same in Python, where there is no
  compiler; ``generator`` builds and drives either; ``payloads`` and ``certificates`` feed them
- ``process``: a contender's process; ``accounting``: its CPU time and memory
- ``measure``: one measurement; ``rounds``: all of them
- ``figures``: medians and ratios; ``report``: tables and JSON
"""
