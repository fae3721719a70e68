"""Muon: steps that are orthogonal matrices, for every matrix of a model."""

import dataclasses
import math
import re
from collections.abc import Sequence
from typing import Any, Literal

import keras
from keras import ops

from keras_attn._types import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
EPSILON = 1e-7
RULES = ("muon", "sgd", "adamw")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ParameterGroup:
    """How some of a model's variables are updated.

    Attributes:
        match: regular expression, searched for in a variable's path, such as
            `"head/kernel$"`. The empty one is for what no other group names and Muon leaves.
        rule: `"muon"`, `"sgd"` (with Nesterov momentum) or `"adamw"`.
        factor: what the optimizer's learning rate is multiplied by.
        momentum: decay of the mean of gradients; of AdamW the first beta.
        beta_2: decay of AdamW's mean of squares.
        weight_decay: decoupled: a step multiplies by `1 - rate * weight_decay`.

    Raises:
        ValueError: `rule` is none of these, `match` is no regular expression, a number is
            impossible, or the group is for what is no matrix and yet of Muon.
    """

    match: str = ""
    rule: Literal["muon", "sgd", "adamw"] = "adamw"
    factor: float = 1.0
    momentum: float = 0.9
    beta_2: float = 0.999
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            accepted = ", ".join(map(repr, RULES))
            raise ValueError(f"`rule` must be one of {accepted}. Received: {self.rule!r}.")
        if self.rule == "muon" and not self.match:
            raise ValueError(
                "The group without `match` is for what is no matrix, which Muon cannot update. "
                f"Received: {self}. Give it another rule, or a `match`."
            )
        _check_pattern("match", self.match)
        _check_numbers(self.momentum, self.weight_decay)
        if self.factor <= 0 or not 0.0 <= self.beta_2 < 1.0:
            raise ValueError(
                "`factor` must be above 0, and `beta_2` in [0, 1). Received: "
                f"factor={self.factor!r}, beta_2={self.beta_2!r}."
            )


@keras.saving.register_keras_serializable(package="keras_attn")
class Muon(keras.optimizers.Optimizer):
    """Momentum, orthogonalized by Newton-Schulz iterations (Jordan et al., "Muon", 2024).

    A variable is updated by the first of `groups` whose `match` is found in its path, and of
    the rule `"muon"` only if it is a matrix; else, if it is one, by Muon as the arguments say;
    else by the group without `match`, AdamW at the same rate if there is none.

    A matrix is what `linear_map` makes of a kernel: of a convolution `(kernel * channels,
    filters)`, of multi-head projections `(features, heads * size)` and `(heads * size,
    features)`. Keras's own Muon takes variables of two dimensions alone. Depthwise kernels,
    biases, scales and embeddings of positions are no matrices; name the embeddings of tokens
    and the classifier in a group, as the author does.

    Args:
        learning_rate: a float or a schedule.
        momentum: decay of the sum of gradients.
        nesterov: whether the step looks ahead.
        ns_steps: Newton-Schulz iterations; with five, singular values come between 0.7 and 1.2.
        weight_decay: of what Muon updates, decoupled; None is 0.
        update_rms: the root mean square that a step has at rate 1; 0.2 is about AdamW's, so
            that its rates and decays serve (Liu et al., arXiv:2502.16982). None leaves the step
            orthogonal, as the author does on CIFAR.
        normalize: regular expression of the paths of matrices that are brought, before each
            step, to the Frobenius norm `sqrt(columns)`: filters of norm 1, on average. For
            filters that a normalization follows; None for none.
        groups: other rules, of which the first that matches counts.

    Raises:
        ValueError: more than one group is without `match`, or an argument is impossible.

    Example:

    >>> import keras
    >>> layer = keras.layers.Conv2D(8, 3)
    >>> layer.build((None, 4, 4, 2))
    >>> muon = Muon(0.1, groups=[ParameterGroup(rule="sgd", factor=10.0)])
    >>> muon.build(layer.trainable_variables)
    >>> [muon.rule_of(variable) for variable in layer.trainable_variables]
    ['muon', 'sgd']
    """

    def __init__(
        self,
        learning_rate: Any = 0.02,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_steps: int = 5,
        weight_decay: float | None = 0.0,
        update_rms: float | None = None,
        normalize: str | None = None,
        groups: Sequence[ParameterGroup | dict[str, Any]] = (),
        name: str = "muon",
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate=learning_rate, weight_decay=None, name=name, **kwargs)
        weight_decay = weight_decay or 0.0
        _check_numbers(momentum, weight_decay)
        _check_pattern("normalize", normalize or "")
        if ns_steps < 1 or (update_rms is not None and update_rms <= 0):
            raise ValueError(
                "`ns_steps` must be at least 1, and `update_rms` above 0 or None. Received: "
                f"ns_steps={ns_steps!r}, update_rms={update_rms!r}."
            )
        self.momentum = momentum
        self.nesterov = nesterov
        self.ns_steps = ns_steps
        self.matrix_decay = weight_decay
        self.update_rms = update_rms
        self.normalize = normalize
        self.groups = [ParameterGroup(**g) if isinstance(g, dict) else g for g in groups]
        rest = [group for group in self.groups if not group.match]
        if len(rest) > 1:
            raise ValueError(
                f"One group may be without `match`, for what no other names. Received: {rest}."
            )

    def build(self, variables: list[Any]) -> None:
        if self.built:
            return
        super().build(variables)
        # By index: what `update_step` gets of some backends is not the Keras variable.
        self._plans = [self._plan(variable) for variable in variables]
        self._first = [
            self.add_variable_from_reference(variable, name="momentum") for variable in variables
        ]
        self._second = [
            self.add_variable_from_reference(variable, name="velocity")
            if plan.group.rule == "adamw"
            else None
            for variable, plan in zip(variables, self._plans, strict=True)
        ]

    def rule_of(self, variable: Any) -> str:
        """`"muon"`, `"sgd"` or `"adamw"`: what updates a variable."""
        return self._group(variable).rule

    def update_step(self, gradient: Tensor, variable: Any, learning_rate: Tensor) -> None:
        index = self._get_variable_index(variable)
        plan = self._plans[index]
        group = plan.group
        if hasattr(gradient, "dense_shape"):  # that of a gather, on TensorFlow
            gradient = ops.add(ops.zeros(gradient.dense_shape, gradient.dtype), gradient)
        gradient = ops.cast(gradient, variable.dtype)
        rate = ops.cast(learning_rate, variable.dtype) * group.factor
        if group.rule == "muon":
            step = self._orthogonal(gradient, index, plan)
            if plan.normalized:
                value = ops.convert_to_tensor(variable)
                norm = math.sqrt(plan.sides[1]) / (_norm(value) + EPSILON)
                self.assign(variable, value * norm)
        elif group.rule == "sgd":
            step = self._accelerated(gradient, self._first[index], group.momentum, True)
        else:
            step = self._adaptive(gradient, index, group)
        if group.weight_decay and self._use_weight_decay(variable):
            step = step + group.weight_decay * ops.convert_to_tensor(variable)
        self.assign_sub(variable, rate * step)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["weight_decay"]
        return {
            **config,
            "momentum": self.momentum,
            "nesterov": self.nesterov,
            "ns_steps": self.ns_steps,
            "weight_decay": self.matrix_decay,
            "update_rms": self.update_rms,
            "normalize": self.normalize,
            "groups": [dataclasses.asdict(group) for group in self.groups],
        }

    def _group(self, variable: Any) -> ParameterGroup:
        is_matrix = linear_map(variable) is not None
        for group in self.groups:
            takes = is_matrix or group.rule != "muon"
            if group.match and takes and re.search(group.match, variable.path):
                return group
        if is_matrix:
            own = {"momentum": self.momentum, "weight_decay": self.matrix_decay}
            return ParameterGroup(match=".", rule="muon", **own)
        rest = (group for group in self.groups if not group.match)
        return next(rest, ParameterGroup())

    def _plan(self, variable: Any) -> "_Plan":
        group = self._group(variable)
        if group.rule != "muon":
            return _Plan(group)
        normalized = self.normalize is not None and re.search(self.normalize, variable.path)
        return _Plan(group, linear_map(variable), bool(normalized))

    def _orthogonal(self, gradient: Tensor, index: int, plan: "_Plan") -> Tensor:
        decay, sides = plan.group.momentum, plan.sides
        step = self._accelerated(gradient, self._first[index], decay, self.nesterov)
        step = orthogonalized(ops.reshape(step, sides), self.ns_steps)
        if self.update_rms is not None:
            step = self.update_rms * math.sqrt(max(sides)) * step
        return ops.reshape(step, gradient.shape)

    def _accelerated(self, gradient: Tensor, momentum: Any, decay: float, nesterov: bool) -> Tensor:
        total = decay * ops.convert_to_tensor(momentum) + gradient
        self.assign(momentum, total)
        return gradient + decay * total if nesterov else total

    def _adaptive(self, gradient: Tensor, index: int, group: ParameterGroup) -> Tensor:
        """The step of AdamW (Loshchilov and Hutter, arXiv:1711.05101), without its decay."""
        momentum, velocity = self._first[index], self._second[index]
        steps = ops.cast(self.iterations + 1, gradient.dtype)
        mean = group.momentum * ops.convert_to_tensor(momentum) + (1 - group.momentum) * gradient
        squares = group.beta_2 * ops.convert_to_tensor(velocity) + (1 - group.beta_2) * ops.square(
            gradient
        )
        self.assign(momentum, mean)
        self.assign(velocity, squares)
        mean = mean / (1 - ops.power(ops.cast(group.momentum, steps.dtype), steps))
        squares = squares / (1 - ops.power(ops.cast(group.beta_2, steps.dtype), steps))
        return mean / (ops.sqrt(squares) + 1e-8)


@dataclasses.dataclass(frozen=True)
class _Plan:
    """How one variable is updated."""

    group: ParameterGroup
    sides: Any = None  # of its matrix
    normalized: bool = False


def linear_map(variable: Any) -> tuple[int, int] | None:
    """The sides of the matrix by which a kernel maps inputs to outputs; None if it is none.

    Only variables named `kernel`, or `recurrent_kernel`, of two or more dimensions are
    matrices: the last axis of dense layers and convolutions is that of the outputs, as are
    the last two, heads and size, of the projections to heads; back from heads it is the last.
    """
    *parents, name = variable.path.split("/")
    shape = tuple(variable.shape)
    if name not in ("kernel", "recurrent_kernel") or len(shape) < 2:
        return None
    if any("depthwise" in parent for parent in parents):
        return None
    to_heads = len(shape) == 3 and parents and parents[-1] in ("query", "key", "value")
    inputs = 1 if to_heads else len(shape) - 1
    sides = (math.prod(shape[:inputs]), math.prod(shape[inputs:]))
    return sides if min(sides) > 1 else None


def orthogonalized(matrix: Tensor, ns_steps: int = 5) -> Tensor:
    """The orthogonal matrix nearest to a matrix `(M, N)`, roughly, by products alone.

    A quintic Newton-Schulz iteration, whose coefficients are Jordan's: they bring small
    singular values up fast, and leave all between 0.7 and 1.2. A matrix of zeros stays.
    """
    a, b, c = COEFFICIENTS
    tall = matrix.shape[0] > matrix.shape[1]
    x = ops.transpose(matrix) if tall else matrix
    x = x / (_norm(x) + EPSILON)
    for _ in range(ns_steps):
        gram = ops.matmul(x, ops.transpose(x))
        x = a * x + ops.matmul(b * gram + c * ops.matmul(gram, gram), x)
    return ops.transpose(x) if tall else x


def _check_numbers(momentum: float, weight_decay: float) -> None:
    if not 0.0 <= momentum < 1.0 or weight_decay < 0:
        raise ValueError(
            "`momentum` must be in [0, 1), and `weight_decay` at least 0. Received: "
            f"momentum={momentum!r}, weight_decay={weight_decay!r}."
        )


def _check_pattern(name: str, pattern: str) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(
            f"`{name}` must be a regular expression. Received: {pattern!r}: {error}."
        ) from error


def _norm(x: Tensor) -> Tensor:
    return ops.sqrt(ops.sum(ops.square(x)))
