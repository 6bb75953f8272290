"""A language model of two LSTM layers of 650, the medium one of Zaremba et al. (2014), https://arxiv.org/abs/1409.2329.

May import: torch.
"""

from __future__ import annotations

import torch
from torch import nn


class LanguageModel(nn.Module):
    """Tokens to logits of the next one at every place."""

    def __init__(self, vocabulary: int, width: int, layers: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.lstm = nn.LSTM(width, width, layers, batch_first=True)
        self.head = nn.Linear(width, vocabulary)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        states, _ = self.lstm(self.embedding(tokens))
        return self.head(states)


def language_model() -> tuple[nn.Module, torch.Tensor]:
    """The model and 35 tokens."""
    return LanguageModel(10_000, 650, 2), torch.zeros(1, 35, dtype=torch.int64)
