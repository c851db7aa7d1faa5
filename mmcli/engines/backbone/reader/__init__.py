"""Answers out of what is written in pictures, PDFs and texts: OCR, codes and layout, no language model."""

from mmcli.engines.backbone.reader.engine import Reader

__all__ = ["Reader"]
