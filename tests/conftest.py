"""Settings that all tests share; builders.py beside it has the graphs and chips they are made of."""

import os
import tempfile

from hypothesis import settings

# the matrices of tests are small: a thread on each core for them fights with whatever else runs
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# what a developer calibrated on their own machine says nothing here; commands that tests start inherit this
_HOME = tempfile.TemporaryDirectory(prefix="perfmodel-home-")
os.environ["PERFMODEL_HOME"] = _HOME.name
# as the command line does, before numpy is imported: threads of BLAS wait for each other on a busy machine
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# no deadline: how long an example takes says nothing on a busy machine
settings.register_profile("perfmodel", max_examples=50, deadline=None)
settings.load_profile("perfmodel")
