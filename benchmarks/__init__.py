"""Commands that print every figure of the documentation (docs/figures.md)."""
