from __future__ import annotations

import copy
import pickle
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest
import torch
from mmengine.registry import FUNCTIONS
from mmpose.structures import PoseDataSample
from torch.nn import Parameter
from torch.utils.data import DataLoader, Dataset

from tests.helpers.models import samples
from tfpose_mm.datasets.packed_collate import PackedBatch, packed_collate

DTYPES = (torch.uint8, torch.bool, torch.int64, torch.float16, torch.bfloat16, torch.float32, torch.float64)


class People(Dataset):
    def __init__(self):
        self.samples = samples(batch=5, num_joints=7)

    def __len__(self):
        return 5

    def __getitem__(self, index):
        generator = torch.Generator().manual_seed(index)
        odd = [torch.arange(index).to(dtype) for dtype in DTYPES]  # sizes that are no multiple of any alignment
        strided = torch.randn(4, 3, generator=generator).t()
        image = torch.randint(0, 255, (3, 13, 11), generator=generator, dtype=torch.uint8)
        return dict(
            inputs=image, data_samples=self.samples[index], odd=odd, strided=strided, scalar=torch.tensor(index)
        )


@pytest.mark.parametrize("workers", [0, 2])
def test_what_arrives_is_what_was_sent(workers):
    people = People()
    batches = list(DataLoader(people, batch_size=2, num_workers=workers, collate_fn=packed_collate))
    assert [len(batch["inputs"]) for batch in batches] == [2, 2, 1]
    for index in range(5):
        batch, expected = batches[index // 2], people[index]
        assert isinstance(batch, dict)
        arrived = {key: values[index % 2] for key, values in batch.items()}
        for key in ("inputs", "strided", "scalar"):
            assert torch.equal(arrived[key], expected[key])
        for ours, theirs in zip((column[index % 2] for column in batch["odd"]), expected["odd"]):
            assert ours.dtype is theirs.dtype
            assert torch.equal(ours, theirs)
        sample, original = arrived["data_samples"], expected["data_samples"]
        assert isinstance(sample, PoseDataSample)
        assert torch.equal(sample.gt_fields.heatmaps, original.gt_fields.heatmaps)
        assert torch.equal(sample.gt_instance_labels.keypoint_labels, original.gt_instance_labels.keypoint_labels)
        np.testing.assert_array_equal(sample.gt_instances.bboxes, original.gt_instances.bboxes)
        assert sample.metainfo["input_size"] == original.metainfo["input_size"]


def test_one_block_crosses():
    (batch,) = DataLoader(People(), batch_size=5, num_workers=1, collate_fn=packed_collate)
    tensors = [*batch["inputs"], *batch["scalar"], *(sample.gt_fields.heatmaps for sample in batch["data_samples"])]
    assert len({tensor.untyped_storage().data_ptr() for tensor in tensors}) == 1


def test_a_tensor_that_is_there_twice_stays_one():
    tensor = torch.ones(3)
    batch = pickle.loads(ForkingPickler.dumps(PackedBatch(first=tensor, again=tensor, sub=Parameter(tensor.clone()))))
    batch["first"].zero_()
    assert batch["again"].eq(0).all()
    assert isinstance(batch["sub"], Parameter)


def test_a_copy_and_a_file_have_the_tensors_themselves():
    batch = packed_collate([People()[1]])
    assert copy.copy(batch)["inputs"][0] is batch["inputs"][0]
    assert isinstance(pickle.loads(pickle.dumps(batch)), PackedBatch)


def test_a_tensor_that_arrived_can_be_changed_alone():
    (batch,) = DataLoader(People(), batch_size=5, num_workers=1, collate_fn=packed_collate)
    first, second = (sample.gt_fields.heatmaps for sample in batch["data_samples"][:2])
    before = second.clone()
    first.zero_()
    assert torch.equal(second, before)


def test_configs_find_it_by_its_name():
    assert FUNCTIONS.get("packed_collate") is packed_collate
