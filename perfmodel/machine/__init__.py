"""The machine at hand: what it is, and the profile that predictions for it start from.

Rooms, from the ground up: `linux_files` (what /proc, /sys and cgroups say), `detection` (the CPU), `accelerators` (GPUs
that torch sees), `cpu_rates` and `gpu_rates` (FLOP per cycle), `profile_files` (writing a profile), `profile`
(machine -> profile). Import from those; nothing here pulls in torch.

May import: catalog, types and below. To add an instruction set or a GPU generation: a line in `cpu_rates.py` or
`gpu_rates.py`. To add a kind of accelerator: `accelerators.py`, with a profile as `profile.py` makes one.
"""
