"""Write the words of card_texts into the bundled weights; tensors, figures and everything else stay as they are.

    python -m tools.weights.recard

The pages in docs/models are edited by hand, and tests hold all three against each other.
"""

from __future__ import annotations

from dataclasses import replace

from tools.weights.cards import CARDS, WEIGHTS

from seqexpr.models.trained import ModelMetadata, rewrite_metadata
from seqexpr.toml_files import read_toml


def main() -> None:
    """Rewrite the metadata of all weights that have words there."""
    for words in sorted(CARDS.glob("*.toml")):
        card = read_toml(words)["card"]

        def change(metadata: ModelMetadata, card: dict[str, str] = card) -> ModelMetadata:
            kept = {key: value for key, value in metadata.card.items() if key in ("species", "held_out")}
            species, figures = ({key: kept[key]} if key in kept else {} for key in ("species", "held_out"))
            return replace(metadata, card={**species, **card, **figures})

        rewrite_metadata(WEIGHTS / f"{words.stem}.safetensors", change)


if __name__ == "__main__":
    main()
