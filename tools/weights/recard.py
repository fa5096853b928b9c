"""Write the words of card_texts into the bundled weights; tensors, figures and everything else stay as they are.

    python -m tools.weights.recard

The pages in docs/models are edited by hand, and tests hold all three against each other.
"""

from __future__ import annotations

from dataclasses import replace

from tools.weights import cards

from seqexpr.models.trained import ModelMetadata, rewrite_metadata
from seqexpr.toml_files import read_toml


def main() -> None:
    """Rewrite the metadata of all weights that have words there."""
    for words in sorted(cards.CARDS.glob("*.toml")):
        card = read_toml(words)["card"]

        def change(metadata: ModelMetadata, card: dict[str, str] = card) -> ModelMetadata:
            return replace(metadata, card={**card, "held_out": metadata.card["held_out"]})

        rewrite_metadata(cards.WEIGHTS / f"{words.stem}.safetensors", change)


if __name__ == "__main__":
    main()
