"""Tables that benchmarks write into the documentation, between two comments."""

from __future__ import annotations

from pathlib import Path

__all__ = ["DISTRIBUTED", "replace_block"]

DISTRIBUTED = Path(__file__).parent.parent / "docs" / "distributed.md"
END = "<!-- end -->"


def replace_block(page: Path, command: str, content: str) -> None:
    """Replace what stands between ``<!-- COMMAND: begin -->`` and the next ``<!-- end -->``.

    Args:
        page: The document.
        command: The command that prints the content.
        content: Markdown.

    Raises:
        ValueError: The document has no such block.
    """
    begin = f"<!-- {command}: begin -->"
    head, found, rest = page.read_text().partition(begin)
    _, closed, tail = rest.partition(END)
    if not (found and closed):
        raise ValueError(f"{page} has no block {begin} … {END}.")
    page.write_text(f"{head}{begin}\n{content}\n{END}{tail}")
