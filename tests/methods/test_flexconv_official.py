"""FlexConv against the official layers of both publications: outputs, gradients, invalid weights."""

import pytest
import torch

from methods.contract import relative_error
from methods.flexconv import DepthwiseFlexConv, FlexConv
from methods.parts.official_weights import Weights
from tests.methods.test_flexconv import BACKENDS, all_modes

CCNN_FULL = {"hidden": 16, "learn_mean": False, "init": "chang"}
OFFICIAL = {
    "flexconv_default_crop5": (FlexConv, 3, 4, 33, {}),
    "flexconv_crop_nonsquare": (FlexConv, 3, 2, 33, {}),
    "flexconv_nocrop_k17": (FlexConv, 2, 3, 17, {}),
    "flexconv_crop_disabled_k17": (FlexConv, 2, 3, 17, {"crop": False}),
    "flexconv_mask_off_k17": (FlexConv, 2, 2, 17, {"mask": False}),
    "flexconv_fft_k65_nocrop": (FlexConv, 2, 2, 65, {}),
    "flexconv_fft_k65_crop": (FlexConv, 2, 2, 65, {}),
    "flexconv_fft_requested_but_small": (FlexConv, 2, 2, 65, {}),
    "ckconv_magnet_k15_fft": (FlexConv, 2, 3, 15, {"mask": False, "crop": False}),
    "flexconv_siren_k17": (FlexConv, 2, 3, 17, {"kernel_net": "siren"}),
    "flexconv_gabor_k17": (FlexConv, 2, 3, 17, {"kernel_net": "gabor"}),
    "ccnn_flexconv_full_k17": (FlexConv, 3, 4, 17, CCNN_FULL),
    "ccnn_separable_crop5": (DepthwiseFlexConv, 6, 4, 33, {"hidden": 16}),
    "ccnn_separable_crop_nonsquare": (DepthwiseFlexConv, 6, 6, 33, {"hidden": 16}),
    "ccnn_separable_nocrop_k17": (DepthwiseFlexConv, 4, 8, 17, {"hidden": 16}),
}
# With omega_0 = 977 the arguments of the sines reach 5e3, which float32 resolves to four decimals: so do the official values
TOLERANCE = {"ccnn_separable_crop5": 1e-4}


def part(data, prefix):
    return {key.removeprefix(prefix): torch.from_numpy(value) for key, value in data.items() if key.startswith(prefix)}


def official(name, data, backend="auto"):
    cls, inputs, outputs, horizon, options = OFFICIAL[name]
    module = cls(inputs, data["x"].shape[-2:], horizon, out_channels=outputs, backend=backend, **options)
    module.load_official(part(data, "param/"))
    return module


@pytest.mark.parametrize("name", OFFICIAL)
def test_official_layers(vectors, name):
    data = vectors(f"flexconv/{name}.npz")
    x = torch.from_numpy(data["x"])
    for backend in BACKENDS[OFFICIAL[name][0]]:
        module = official(name, data, backend)
        tolerance = TOLERANCE.get(name, 1e-5)
        assert relative_error(module.kernel(), torch.from_numpy(data["kernel"]).reshape(module.kernel().shape)) < tolerance
        for output in all_modes(module, x):
            assert relative_error(output, torch.from_numpy(data["y"])) < tolerance


@pytest.mark.parametrize("name", OFFICIAL)
def test_official_gradients(vectors, name):
    data = vectors(f"flexconv/{name}.npz")
    if "grad_out" not in data:
        pytest.skip("no gradients are stored")
    for backend in BACKENDS[OFFICIAL[name][0]]:
        module, x = official(name, data, backend), torch.from_numpy(data["x"]).requires_grad_()
        module(x).backward(torch.from_numpy(data["grad_out"]))
        assert relative_error(x.grad, torch.from_numpy(data["grad/x"])) < TOLERANCE.get(name, 1e-5)
        constants = {key: torch.zeros(2) for key in ("mask_mean_param",) if "grad/mask_width_param" in data}
        gradients = module.from_official(Weights(part(data, "grad/") | constants))
        for key, parameter in module.named_parameters():
            assert relative_error(parameter.grad, gradients[key]) < TOLERANCE.get(name, 1e-5), key


@pytest.mark.parametrize("name", [name for name in OFFICIAL if name.startswith("ccnn")])
def test_chang_factor_of_a_layer_that_never_ran(vectors, name):
    data = vectors(f"flexconv/{name}.npz")
    fresh = part(data, "param/") | part(data, "param_before_first_forward/") | {"initialized": torch.tensor([False])}
    done = official(name, data)
    module = official(name, data)
    module.load_official(fresh)
    assert relative_error(module.net.out_weight, done.net.out_weight) < 1e-6


def test_official_across_resolutions(vectors):
    data = vectors("flexconv/cross_resolution_16_to_32.npz")
    module = FlexConv(2, 16, out_channels=3)
    module.load_official(part(data, "param/"))
    for size in (16, 32):
        module.at_resolution(size)
        assert module.scale == (16 / size) ** 2 and module.horizon == size + 1
        assert relative_error(module.kernel(), torch.from_numpy(data[f"kernel{size}"])) < 1e-5
        assert relative_error(module(torch.from_numpy(data[f"x{size}"])), torch.from_numpy(data[f"y{size}"])) < 1e-5


def test_official_network(vectors):
    """A complete FlexNet-3: stem, residual blocks, batch norm, pooling."""
    data = vectors("flexconv/flexnet3_tiny_eval.npz")
    state = part(data, "param/")

    def conv(name, x):
        own = {key.removeprefix(name + "."): value for key, value in state.items() if key.startswith(name + ".")}
        inputs, outputs = x.shape[1], len(own["bias"])
        module = FlexConv(inputs, 20, int(own["train_length"]), hidden=8, out_channels=outputs)
        module.load_official(own)
        sizes.append(module.cropped())
        return module(x)

    def norm(name, x):
        return torch.nn.functional.batch_norm(
            x, *(state[f"{name}.{key}"] for key in ("running_mean", "running_var", "weight", "bias"))
        )

    sizes = []
    with torch.no_grad():
        x = torch.relu(norm("norm1", conv("cconv1", torch.from_numpy(data["x"]))))
        for block in ("blocks.0", "blocks.1", "blocks.2"):
            y = torch.relu(norm(block + ".norm1", conv(block + ".cconv1", x)))
            y = norm(block + ".norm2", conv(block + ".cconv2", y))
            if f"{block}.shortcut.0.weight" in state:
                x = torch.conv2d(x, state[f"{block}.shortcut.0.weight"], state[f"{block}.shortcut.0.bias"])
            x = torch.relu(x + y)
        logits = torch.conv2d(x.mean((2, 3), keepdim=True), state["out_layer.weight"], state["out_layer.bias"]).flatten(1)
    assert [list(size) for size in sizes] == data["kernel_sizes"][:, 2:].tolist()
    assert relative_error(logits, torch.from_numpy(data["logits"])) < 1e-5


def test_invalid_official_weights_are_rejected(vectors):
    data = vectors("flexconv/flexconv_nocrop_k17.npz")
    state, module = part(data, "param/"), FlexConv(2, 16, 17, out_channels=3)
    with pytest.raises(KeyError, match=r"lack 'bias'"):
        module.load_official({key: value for key, value in state.items() if key != "bias"})
    with pytest.raises(KeyError, match=r"unknown keys .* extra"):
        module.load_official(state | {"extra": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"kernel_size=17"):
        FlexConv(2, 32, out_channels=3).load_official(state)
    with pytest.raises(ValueError, match=r"shape"):
        FlexConv(3, 16, 17).load_official(state)
    with pytest.raises(ValueError, match=r"mask_threshold"):
        FlexConv(2, 16, 17, out_channels=3, threshold=0.2).load_official(state)
