"""The Muon optimizer: orthogonalized momentum for every matrix of a model."""

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
    """The update rule of some of a model's variables.

    Attributes:
        match: Regular expression that is searched for in a variable's path, such as
            `"head/kernel$"`. The empty string makes this the default group: it applies to
            variables that no other group matches and that are not matrices.
        rule: `"muon"`, `"sgd"` (with Nesterov momentum) or `"adamw"`.
        factor: Factor by which the optimizer's learning rate is multiplied.
        momentum: Decay rate of the momentum; for AdamW `beta_1`.
        beta_2: Decay rate of AdamW's second moment.
        weight_decay: Decoupled weight decay: a step multiplies the variable by
            `1 - rate * weight_decay`.

    Raises:
        ValueError: `rule` is unknown, `match` is not a regular expression, a number is out of
            range, or the rule of the default group is `"muon"`, which updates only matrices.
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
                "The group without `match` updates variables that are no matrix, which Muon "
                f"cannot. Received: {self}. Choose another rule, or set `match`."
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

    The update rule of a variable is chosen in this order:

    1. The first of `groups` whose `match` is found in the variable's path. Groups with the rule
       `"muon"` match only matrices.
    2. For a matrix: Muon, with the arguments below.
    3. Otherwise: the group without `match`, or AdamW at the same learning rate if there is none.

    A matrix is a kernel that `linear_map` can reshape to two dimensions: a convolution to
    `(kernel * channels, filters)`, multi-head projections to `(features, heads * size)` and
    `(heads * size, features)`. (Keras's own Muon updates only variables of two dimensions.)
    Depthwise kernels, biases, scales and embeddings are not matrices. Name the classifier's
    kernel in a group, so that Muon does not update it, as the author recommends.

    Args:
        learning_rate: A float or a schedule.
        momentum: Decay rate of the momentum.
        nesterov: Whether to use Nesterov momentum.
        ns_steps: Number of Newton-Schulz iterations. With 5, singular values end up between 0.7
            and 1.2.
        weight_decay: Decoupled weight decay of the matrices that Muon updates. None means 0.
        update_rms: Root mean square of a step at learning rate 1. With 0.2, which is close to
            that of AdamW, learning rates and weight decays of AdamW can be reused (Liu et al.,
            arXiv:2502.16982). With None the step is the orthogonal matrix itself, as in the
            author's CIFAR code.
        normalize: Regular expression for the paths of matrices that are rescaled before each
            step to the Frobenius norm `sqrt(columns)`, which gives filters a norm of 1 on
            average. It is meant for filters that are followed by a normalization. None rescales
            no matrix.
        groups: Update rules of variables by path. The first group that matches applies.

    Raises:
        ValueError: More than one group is without `match`, or an argument is out of range.

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
        defaults = [group for group in self.groups if not group.match]
        if len(defaults) > 1:
            raise ValueError(
                "One group may be without `match`, for variables that no other group matches. "
                f"Received: {defaults}."
            )

    def build(self, variables: list[Any]) -> None:
        if self.built:
            return
        super().build(variables)
        # Indexed by position: some backends do not pass the Keras variable to `update_step`.
        self._plans = [self._plan(variable) for variable in variables]
        self._momentums = [
            self.add_variable_from_reference(variable, name="momentum") for variable in variables
        ]
        self._velocities = [
            self.add_variable_from_reference(variable, name="velocity")
            if plan.group.rule == "adamw"
            else None
            for variable, plan in zip(variables, self._plans, strict=True)
        ]

    def rule_of(self, variable: Any) -> str:
        """Return the rule that updates a variable: `"muon"`, `"sgd"` or `"adamw"`."""
        return self._group(variable).rule

    def update_step(self, gradient: Tensor, variable: Any, learning_rate: Tensor) -> None:
        index = self._get_variable_index(variable)
        plan = self._plans[index]
        group = plan.group
        if hasattr(gradient, "dense_shape"):  # `tf.IndexedSlices`, the gradient of a gather
            gradient = ops.add(ops.zeros(gradient.dense_shape, gradient.dtype), gradient)
        gradient = ops.cast(gradient, variable.dtype)
        rate = ops.cast(learning_rate, variable.dtype) * group.factor
        if group.rule == "muon":
            step = self._muon_step(gradient, index, plan)
            if plan.normalized:
                value = ops.convert_to_tensor(variable)
                scale = math.sqrt(plan.shape[1]) / (_norm(value) + EPSILON)
                self.assign(variable, value * scale)
        elif group.rule == "sgd":
            step = self._momentum_step(gradient, self._momentums[index], group.momentum, True)
        else:
            step = self._adamw_step(gradient, index, group)
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
            can_update = is_matrix or group.rule != "muon"
            if group.match and can_update and re.search(group.match, variable.path):
                return group
        if is_matrix:
            settings = {"momentum": self.momentum, "weight_decay": self.matrix_decay}
            return ParameterGroup(match=".", rule="muon", **settings)
        defaults = (group for group in self.groups if not group.match)
        return next(defaults, ParameterGroup())

    def _plan(self, variable: Any) -> "_Plan":
        group = self._group(variable)
        if group.rule != "muon":
            return _Plan(group)
        normalized = self.normalize is not None and re.search(self.normalize, variable.path)
        return _Plan(group, linear_map(variable), bool(normalized))

    def _muon_step(self, gradient: Tensor, index: int, plan: "_Plan") -> Tensor:
        """Return the orthogonalized momentum, in the shape of the gradient."""
        decay, shape = plan.group.momentum, plan.shape
        step = self._momentum_step(gradient, self._momentums[index], decay, self.nesterov)
        step = orthogonalized(ops.reshape(step, shape), self.ns_steps)
        if self.update_rms is not None:
            step = self.update_rms * math.sqrt(max(shape)) * step
        return ops.reshape(step, gradient.shape)

    def _momentum_step(
        self, gradient: Tensor, momentum: Any, decay: float, nesterov: bool
    ) -> Tensor:
        """Update the momentum, and return it, or the step of Nesterov momentum."""
        new_momentum = decay * ops.convert_to_tensor(momentum) + gradient
        self.assign(momentum, new_momentum)
        return gradient + decay * new_momentum if nesterov else new_momentum

    def _adamw_step(self, gradient: Tensor, index: int, group: ParameterGroup) -> Tensor:
        """Return the step of AdamW (Loshchilov and Hutter, arXiv:1711.05101) without decay."""
        momentum, velocity = self._momentums[index], self._velocities[index]
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
    """Update rule of one variable.

    Attributes:
        group: The update rule.
        shape: Rows and columns of the matrix that Muon updates; None for other rules.
        normalized: Whether the matrix is rescaled before each step.
    """

    group: ParameterGroup
    shape: Any = None
    normalized: bool = False


def linear_map(variable: Any) -> tuple[int, int] | None:
    """Return the shape `(inputs, outputs)` of a kernel as a matrix, or None if it is not one.

    Only variables named `kernel` or `recurrent_kernel` with two or more dimensions are matrices.
    The last axis is that of the outputs. In projections to heads, outputs have the last two axes,
    heads and size.
    """
    *parents, name = variable.path.split("/")
    shape = tuple(variable.shape)
    if name not in ("kernel", "recurrent_kernel") or len(shape) < 2:
        return None
    if any("depthwise" in parent for parent in parents):
        return None
    to_heads = len(shape) == 3 and parents and parents[-1] in ("query", "key", "value")
    inputs = 1 if to_heads else len(shape) - 1
    matrix = (math.prod(shape[:inputs]), math.prod(shape[inputs:]))
    return matrix if min(matrix) > 1 else None


def orthogonalized(matrix: Tensor, ns_steps: int = 5) -> Tensor:
    """Return an approximation of the orthogonal matrix nearest to a matrix `(M, N)`.

    This is a quintic Newton-Schulz iteration, which needs only matrix products. Jordan's
    coefficients raise small singular values fast, and leave all of them between 0.7 and 1.2. A
    matrix of zeros is returned unchanged.
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
