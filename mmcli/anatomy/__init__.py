"""What a checkpoint is made of, read from its configuration and the headers of its weights; nothing is loaded.

`checkpoint.read` gives a Checkpoint; `parts`, `facts`, `images` and `memory` are functions of it.
"""
