"""Files: models as safetensors."""

from __future__ import annotations

from aefast.io.models import load, save

__all__ = ["load", "save"]
