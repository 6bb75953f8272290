"""aiconfigurator (ai-dynamo/aiconfigurator): LLM operator tables of vLLM, TensorRT-LLM, SGLang and NCCL.

One GPU (or one node for collectives) per row, one operator, `latency` in ms: the mean of 6 CUDA-graph replays after 3
warm-ups unless a table says otherwise. Each table is recognised by its own dtype column:

    gemm.py              gemm_dtype        y[m, n] = x[m, k] w[n, k]^T, activation quantisation inside the time
    attention.py         attn_dtype        prefill (step 0) and decode (isl 1 after `step` tokens), window 0 = none
    latent_attention.py  mla_dtype         the kernel alone, or with `gemm_type` the module with its projections
    experts.py           moe_dtype         routing, grouped GEMMs and combining of one device's shard
    collectives.py       nccl_dtype        nccl-tests; `message_size` counts elements of the whole buffer
                         allreduce_dtype   the framework's own all-reduce; `message_size` counts elements

The rules on what a benchmark uses again between two calls follow the source's collector/ scripts. To add a table: a
file with its columns and a reader, and a line in `FORMATS` of sources/__init__.py. May import: what sources
may.
"""

NAME = "aiconfigurator"
