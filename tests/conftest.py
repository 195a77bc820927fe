import os

import torch

if "PYTEST_XDIST_WORKER" in os.environ:  # tests side by side: a thread each
    torch.set_num_threads(1)
