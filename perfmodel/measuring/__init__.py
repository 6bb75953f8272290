"""Timing real torch runs on the machine at hand: a suite of small programs, and whole models.

    programs*.py, program_parts.py   the suite as data: modules and their inputs
    timing.py, cuda_timing.py        the protocol: repetition, rejected samples, drift
    run_files.py                     the measured points, on disk one by one
    suite_runner.py, whole_models.py what is timed, point after point

Every program is a plain torch module, so that the tracer of `perfmodel.graphs` reads the same thing that is timed. Only
`perfmodel measure` and fits to its files import this package; torch is needed for all but the files.

May import: everything below `measuring` (graphs, kernels, machine, ...). To add a program: an entry in the file
`programs_*.py` of its kind, and a later number of the suite. To add a model that checks a calibration: a line in
`validation_models.py`.
"""
