"""Run in a process of its own: PyTorch's attention on the cases that lie in a folder.

A case is a file `<name>.npz`, with what its function below takes; its outputs and gradients go
to `<name>.answer.npz`. All is computed in float64.
"""

import pathlib
import subprocess
import sys

import numpy as np

ROOT = pathlib.Path(__file__).parents[2]


def ask(folder, function, cases):
    """What PyTorch's `function` makes of every case, by name; one process for all of them."""
    for name, arguments in cases.items():
        np.savez(folder / f"{name}.npz", **arguments)
    done = subprocess.run(
        [sys.executable, "-m", "tests.ops.torch_peers", function, str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return {name: dict(np.load(folder / f"{name}.answer.npz")) for name in cases}


def gradients(function, arrays):
    """Of a function of named arrays with a scalar value, by all of them in one go."""
    from keras import ops

    from tests.ops import oracles

    ends = np.cumsum([x.size for x in arrays.values()])[:-1].tolist()

    def named(flat):
        pairs = zip(arrays.items(), ops.split(flat, ends), strict=True)
        return {name: ops.reshape(part, x.shape) for (name, x), part in pairs}

    joined = np.concatenate([x.ravel() for x in arrays.values()])
    flat = oracles.gradient(lambda x: function(named(x)), joined)
    parts = zip(arrays.items(), np.split(flat, ends), strict=True)
    return {name: part.reshape(x.shape) for (name, x), part in parts}


def attention(query, key, value, cotangent, **arguments):
    """`torch.nn.functional.scaled_dot_product_attention`, on arrays `(B, length, heads, size)`."""
    import torch

    leaves = {"query": query, "key": key, "value": value}
    mask = arguments.pop("attn_mask", None)
    if mask is not None and mask.is_floating_point():
        leaves["bias"] = mask
    for leaf in leaves.values():
        leaf.requires_grad_()
    output = torch.nn.functional.scaled_dot_product_attention(
        *(x.transpose(1, 2) for x in (query, key, value)), attn_mask=mask, **arguments
    )
    return _answer(output.transpose(1, 2), leaves, cotangent)


def multi_head(query, cotangent, num_heads, key=None, value=None, **arguments):
    """`torch.nn.MultiheadAttention`; weights are named `query_kernel`, `output_bias` and so on.

    Kernels are `(output, input)`. Without a key and a value the query is all three.
    """
    import torch

    names = "query", "key", "value"
    inputs = {"query": query, "key": key, "value": value}
    inputs = {name: x for name, x in inputs.items() if x is not None}
    weights = {name: arguments.pop(name) for name in list(arguments) if name.endswith("kernel")}
    biases = {name: arguments.pop(name) for name in list(arguments) if name.endswith("bias")}
    query, key, value = (inputs.get(name, query) for name in names)
    peer = torch.nn.MultiheadAttention(
        query.shape[-1],
        num_heads,
        bias=bool(biases),
        kdim=key.shape[-1],
        vdim=value.shape[-1],
        batch_first=True,
        dtype=torch.float64,
    )
    # The weights are leaves here, and reach PyTorch's module as it wants them.
    given = {"out_proj.weight": weights["output_kernel"]}
    for leaf in (*inputs.values(), *weights.values(), *biases.values()):
        leaf.requires_grad_()
    if peer.in_proj_weight is not None:
        given["in_proj_weight"] = torch.cat([weights[f"{name}_kernel"] for name in names])
    else:
        given |= {f"{name[0]}_proj_weight": weights[f"{name}_kernel"] for name in names}
    if biases:
        given["in_proj_bias"] = torch.cat([biases[f"{name}_bias"] for name in names])
        given["out_proj.bias"] = biases["output_bias"]
    assert given.keys() == peer.state_dict().keys()
    call = {**arguments, "need_weights": False}
    output, _ = torch.func.functional_call(peer, given, (query, key, value), call)
    return _answer(output, {**inputs, **weights, **biases}, cotangent)


def _answer(output, leaves, cotangent):
    import torch

    gradients = torch.autograd.grad(output, list(leaves.values()), cotangent)
    answer = {f"by_{name}": x for name, x in zip(leaves, gradients, strict=True)}
    return {"output": output, **answer}


def main(function, folder):
    import torch

    for path in sorted(folder.glob("*.npz")):
        arguments = {}
        for name, array in np.load(path).items():
            floating = np.issubdtype(array.dtype, np.floating)
            tensor = torch.tensor(array.astype("float64") if floating else array)
            arguments[name] = tensor if tensor.ndim else tensor.item()
        answer = {name: x.detach().numpy() for name, x in function(**arguments).items()}
        np.savez(path.with_suffix(".answer.npz"), **answer)


if __name__ == "__main__":
    main({"attention": attention, "multi_head": multi_head}[sys.argv[1]], pathlib.Path(sys.argv[2]))
