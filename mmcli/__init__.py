"""Voice and vision assistant pipelines. Read stages.py first."""

import os

__version__ = "0.1.0"

# What these libraries would tell their makers about the machine and what it runs; read when they are loaded.
for _telemetry in ("ORT_DISABLE_TELEMETRY", "HF_HUB_DISABLE_TELEMETRY"):
    os.environ.setdefault(_telemetry, "1")
