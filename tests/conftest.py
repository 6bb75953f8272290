"""Settings that all tests share; builders.py beside it has the graphs and chips they are made of."""

import os
import tempfile

from hypothesis import settings

# what a developer calibrated on their own machine says nothing here; commands that tests start inherit this
_HOME = tempfile.TemporaryDirectory(prefix="perfmodel-home-")
os.environ["PERFMODEL_HOME"] = _HOME.name
# as the command line does, before numpy is imported: the matrices are small, and threads of BLAS wait for each other
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# no deadline: how long an example takes says nothing on a busy machine
# the same examples in every run, so that a change is judged by what it changed; `make explore` draws new ones
settings.register_profile("perfmodel", max_examples=50, deadline=None, derandomize=True)
settings.register_profile("explore", max_examples=200, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "perfmodel"))
