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


def test_an_input_size_reaches_every_copy(tmp_path):
    cfg = child(tmp_path, "change_codec(_base_, input_size=(160, 192), sigma=1.5)")
    codec = dict(type="TFPoseLabel", input_size=(160, 192), heatmap_size=(40, 48), sigma=1.5)
    assert cfg.codec == cfg.model.head.decoder == codec
    pipelines = [cfg.train_pipeline, cfg.val_pipeline]
    pipelines += [cfg[f"{split}_dataloader"].dataset.pipeline for split in ("train", "val", "test")]
    for pipeline in pipelines:
        steps = {step.type: step for step in pipeline}
        assert steps["TopdownAffine"].input_size == (160, 192)
        assert steps["TopdownAffine"].use_udp
    for pipeline in (cfg.train_pipeline, cfg.train_dataloader.dataset.pipeline):
        assert pipeline[6].encoder == codec
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
    codec = dict(type="SimCCLabel", input_size=(192, 256), sigma=6.0)
    head = dict(input_size=(192, 256), in_featuremap_size=(6, 8), decoder=dict(codec))
    config = ConfigDict(codec=codec, model=dict(head=head))
    change_codec(config, input_size=(96, 160))
    expected = dict(input_size=(96, 160), in_featuremap_size=(3, 5), decoder=dict(codec, input_size=(96, 160)))
    assert config.model.head == expected
    assert "heatmap_size" not in config.codec


def test_another_codec_replaces_the_old_one(tmp_path):
    """UDP follows the codec; arguments of the old codec are gone."""
    codec = dict(type="SimCCLabel", input_size=(96, 128), sigma=4.24)
    cfg = child(tmp_path, f"change_codec(_base_, **{codec})")
    assert cfg.codec == cfg.model.head.decoder == codec
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        (affine,) = (step for step in loader.dataset.pipeline if step.type == "TopdownAffine")
        assert affine == dict(type="TopdownAffine", input_size=(96, 128), use_udp=False)
    assert cfg.train_dataloader.dataset.pipeline[6] == dict(type="GenerateTarget", encoder=codec)
    udp = dict(type="UDPHeatmap", input_size=(96, 128), heatmap_size=(24, 32), sigma=2)
    change_codec(cfg, **udp)
    assert cfg.codec == cfg.model.head.decoder == cfg.train_pipeline[6].encoder == udp
    assert {step.use_udp for step in (*cfg.train_pipeline, *cfg.val_pipeline) if step.type == "TopdownAffine"} == {True}


def test_what_is_not_there_is_refused():
    with pytest.raises(ValueError, match=r"a 'codec', but got the keys \['model'\]"):
        change_codec(ConfigDict(model=dict()), input_size=(1, 2))
    codec = dict(type="RegressionLabel", input_size=(192, 256))
    with pytest.raises(ValueError, match="RegressionLabel takes input_size, but got input_sze: check the names"):
        change_codec(ConfigDict(codec=codec), input_sze=(1, 2))
    with pytest.raises(ValueError, match="The codec RegresionLabel is not registered"):
        change_codec(ConfigDict(codec=dict(codec, type="RegresionLabel")), input_size=(1, 2))


def test_a_size_that_the_command_line_gave_is_a_list():
    cfg = Config.fromfile(str(MAIN))
    cfg.codec.input_size = [192, 256]
    change_codec(cfg, input_size=(96, 128))
    sizes = {tuple(step.input_size) for step in cfg.train_dataloader.dataset.pipeline if step.type == "TopdownAffine"}
    assert sizes == {(96, 128)}
