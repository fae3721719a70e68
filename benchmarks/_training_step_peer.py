"""`attention_net` of plain blocks in PyTorch, as its users would write it."""

from typing import Any

import numpy as np
import torch
from torch import nn


class Block(nn.Module):
    """Convolution, pooling, batch normalization without scale, GELU."""

    def __init__(self, inputs: int, filters: int, pool: bool, momentum: float) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, filters, 3, padding="same", bias=False)
        self.pool = nn.MaxPool2d(2) if pool else nn.Identity()
        self.normalization = nn.BatchNorm2d(filters, eps=1e-5, momentum=1 - momentum)
        self.normalization.weight.requires_grad = False
        self.activation = nn.GELU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.activation(self.normalization(self.pool(self.convolution(x))))


class SelfAttention(nn.Module):
    """SAGAN's attention over the positions of a map, with PyTorch's fused kernel."""

    def __init__(self, channels: int, keys: int, values: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key = (nn.Conv2d(channels, keys, 1, bias=False) for _ in range(2))
        self.value = nn.Conv2d(channels, values, 1, bias=False)
        self.attention_output = nn.Conv2d(values, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, _, height, width = x.shape

        def heads(y: torch.Tensor) -> torch.Tensor:
            return y.reshape(batch, self.heads, -1, height * width).transpose(2, 3)

        attended = nn.functional.scaled_dot_product_attention(
            heads(self.query(x)), heads(self.key(x)), heads(self.value(x))
        )
        attended = attended.transpose(2, 3).reshape(batch, -1, height, width)
        return x + self.gamma * self.attention_output(attended)


class AttentionNet(nn.Module):
    """The network of a recipe's `[model]` with plain blocks, whitening and softmax."""

    def __init__(self, model: dict[str, Any], classes: int) -> None:
        super().__init__()
        momentum = model["batch_norm_momentum"]
        self.logit_scale, self.stage = model["logit_scale"], model["attention_stage"]
        self.whitening = nn.Conv2d(3, 24, 2)
        self.whitening.weight.requires_grad = False
        self.activation = nn.GELU()
        inputs, stages = 24, []
        for filters, pool in zip(model["stage_filters"], model["stage_downsample"], strict=True):
            first = Block(inputs, filters, pool == "max", momentum)
            stages.append(nn.Sequential(first, Block(filters, filters, False, momentum)))
            inputs = filters
        self.stages = nn.ModuleList(stages)
        self.attention = SelfAttention(
            model["stage_filters"][self.stage - 1],
            model["key_channels"],
            model["value_channels"],
            model["num_heads"],
        )
        self.head = nn.Linear(inputs, classes, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.activation(self.whitening(x))
        for index, stage in enumerate(self.stages, start=1):
            x = stage(x)
            if index == self.stage:
                x = self.attention(x)
        return self.head(x.amax(dim=(2, 3))) * self.logit_scale

    def load_keras(self, weights: dict[str, np.ndarray]) -> None:
        """Take the weights of the Keras network, by their paths."""

        def put(parameter: Any, path: str, axes: tuple[int, ...] | None = None) -> None:
            value = weights[path] if axes is None else weights[path].transpose(axes)
            with torch.no_grad():
                parameter.copy_(torch.from_numpy(np.array(value)))

        def convolution(layer: Any, path: str) -> None:
            put(layer.weight, f"{path}/kernel", (3, 2, 0, 1))

        convolution(self.whitening, "whitening")
        put(self.whitening.bias, "whitening/bias")
        for index, stage in enumerate(self.stages, start=1):
            for block, name in zip(stage, (f"stage_{index}_first", f"stage_{index}"), strict=True):
                convolution(block.convolution, f"{name}/convolution")
                put(block.normalization.bias, f"{name}/normalization/beta")
        for name in ("query", "key", "value", "attention_output"):
            convolution(getattr(self.attention, name), f"attention/{name}")
        put(self.attention.gamma, "attention/gamma")
        put(self.head.weight, "head/kernel", (1, 0))
