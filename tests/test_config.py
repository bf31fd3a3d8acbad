"""Check that a config changes every copy of a value in its base."""

from __future__ import annotations

import pytest
from mmengine.config import Config, ConfigDict

from tests.helpers.paths import MAIN
from tfpose_mm.config import change_codec


def child(folder, change):
    path = folder / "child.py"
    path.write_text(f"_base_ = {str(MAIN)!r}\nfrom tfpose_mm.config import change_codec\n{change}\n")
    return Config.fromfile(str(path))


def affines(cfg):
    """The affine transforms in the five pipelines of a config."""
    pipelines = [cfg.train_pipeline, cfg.val_pipeline]
    pipelines += [cfg[f"{split}_dataloader"].dataset.pipeline for split in ("train", "val", "test")]
    return [step for steps in pipelines for step in steps if step.type == "TopdownAffine"]


def test_an_input_size_reaches_every_copy(tmp_path):
    cfg = child(tmp_path, "change_codec(_base_, input_size=(160, 192), sigma=1.5)")
    codec = dict(type="TFPoseLabel", input_size=(160, 192), heatmap_size=(40, 48), sigma=1.5)
    assert cfg.codec == cfg.model.head.decoder == codec
    assert affines(cfg) == [dict(type="TopdownAffine", input_size=(160, 192), use_udp=True)] * 5
    assert cfg.train_pipeline[6].encoder == cfg.train_dataloader.dataset.pipeline[6].encoder == codec
    assert Config.fromfile(str(MAIN)).codec.input_size == (192, 256)  # the base file stays
    cfg.dump(str(tmp_path / "dumped.py"))
    assert "change_codec" not in (tmp_path / "dumped.py").read_text()
    assert Config.fromfile(str(tmp_path / "dumped.py")).to_dict() == cfg.to_dict()


def test_copies_and_heads_that_differ_keep_their_difference():
    codec = dict(type="TFPoseLabel", input_size=(192, 256), heatmap_size=(48, 64), sigma=2)
    config = ConfigDict(codec=codec, model=dict(head=dict(decoder=dict(codec, sigma=3), patches=dict(input_size=7))))
    change_codec(config, input_size=(96, 128))
    assert config.model.head.decoder == dict(codec, input_size=(96, 128), heatmap_size=(24, 32), sigma=3)
    assert config.model.head.patches.input_size == 7
    change_codec(config, heatmap_size=(48, 64))
    assert config.codec == dict(codec, input_size=(96, 128))


def test_codecs_without_heat_maps_and_heads_with_sizes():
    """The command line gives a size as a list."""
    codec = dict(type="SimCCLabel", input_size=[192, 256], sigma=6.0)
    head = dict(input_size=(192, 256), in_featuremap_size=(6, 8), decoder=dict(codec))
    config = ConfigDict(codec=codec, model=dict(head=head))
    change_codec(config, input_size=(96, 160))
    codec["input_size"] = (96, 160)
    expected = dict(input_size=(96, 160), in_featuremap_size=(3, 5), decoder=codec)
    assert config == dict(codec=codec, model=dict(head=expected))


def test_another_codec_replaces_the_old_one(tmp_path):
    """UDP follows the codec; arguments of the old codec are gone."""
    codec = dict(type="SimCCLabel", input_size=(96, 128), sigma=4.24)
    cfg = child(tmp_path, f"change_codec(_base_, **{codec})")
    assert cfg.codec == cfg.model.head.decoder == codec
    assert affines(cfg) == [dict(type="TopdownAffine", input_size=(96, 128), use_udp=False)] * 5
    assert cfg.train_dataloader.dataset.pipeline[6] == dict(type="GenerateTarget", encoder=codec)
    udp = dict(type="UDPHeatmap", input_size=(96, 128), heatmap_size=(24, 32), sigma=2)
    change_codec(cfg, **udp)
    assert cfg.codec == cfg.model.head.decoder == cfg.train_pipeline[6].encoder == udp
    assert affines(cfg) == [dict(type="TopdownAffine", input_size=(96, 128), use_udp=True)] * 5


def test_what_is_not_there_is_refused():
    with pytest.raises(ValueError, match=r"a 'codec', but got the keys \['model'\]"):
        change_codec(ConfigDict(model=dict()), input_size=(1, 2))
    codec = dict(type="RegressionLabel", input_size=(192, 256))
    with pytest.raises(ValueError, match="RegressionLabel takes input_size, but got input_sze: check the names"):
        change_codec(ConfigDict(codec=codec), input_sze=(1, 2))
    with pytest.raises(ValueError, match="The codec RegresionLabel is not registered"):
        change_codec(ConfigDict(codec=dict(codec, type="RegresionLabel")), input_size=(1, 2))
