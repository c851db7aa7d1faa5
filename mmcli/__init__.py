"""Voice and vision assistant pipelines. Read stages.py first."""

__version__ = "0.1.0"
