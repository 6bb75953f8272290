"""Servers with many users: what an engine does with requests, and how long they take, in closed form and step by step.

    engines, work, engine_time     a policy; kernels of its steps, tabulated; seconds of a step by fitted coefficients
    capacity, deployments, servers how much fits; a model on chips under an engine; that, opened for questions
    steady_state, steady_answers   mean latencies at a number of users or a rate, from the step table
    effects, standing, known_effects, server_anchors, latency_intervals
                                   what measured servers say beyond the closed form, and how sure it is
    prediction, prediction_arrays, load_curves, largest_load, latency_parts, power_use
                                   answers: at one load, at many, along a curve, within limits, in parts, in watts
    simulator, simulation_*, event_loop, replica_state, batching, kept_starts
                                   every request followed from arrival to its last token
    workload, trace_files          what users ask;  launch: the command that starts such a server
    static_batch, static_deployments
                                   engines that run one batch after the other

May import: everything below it (catalog, kernels, program, spreading, ...), not predict and calibration. To add an
engine: a file in engine_specs/; a policy that batches in another way: `batching.py`. To add what is known of servers:
fit their runs (`perfmodel fit`), which writes a file that `engine_files` reads.
"""
