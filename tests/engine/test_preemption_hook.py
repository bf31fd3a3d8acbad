"""Send SIGTERM to trainings on the CPU and resume them."""

from __future__ import annotations

import datetime
import multiprocessing
import os
import signal
import time
from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist
from mmengine.fileio import register_backend
from mmengine.fileio.backends import LocalBackend
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import EpochBasedTrainLoop, Runner
from mmpose.utils import register_all_modules

from tests.helpers.processes import free_port, in_process_config
from tests.helpers.trainings import (
    EMA,
    SHORT,
    STATEFUL,
    differences,
    log_of,
    start_training,
    training_command,
    wait_for_iterations,
)
from tfpose_mm.engine.hooks import PreemptionHook, preemption_hook

VALIDATED = {**STATEFUL, "train_cfg.val_interval": 1}


class Terminate(Hook):
    """Send SIGTERM to this process at an iteration of the training, or in a validation."""

    def __init__(self, iteration=None, epoch=None):
        self.iteration, self.epoch = iteration, epoch

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter + 1 == self.iteration:
            os.kill(os.getpid(), signal.SIGTERM)

    def before_val_iter(self, runner, batch_idx, data_batch=None):
        if runner.epoch == self.epoch and batch_idx == 0:
            os.kill(os.getpid(), signal.SIGTERM)


def stop(make_runner, terminate, **changes):
    with pytest.raises(SystemExit) as raised:
        make_runner(3, hooks=[EMA, terminate], **changes).train()
    assert raised.value.code == 143


SLOW = pytest.mark.slow


@pytest.mark.parametrize(  # 2 iterations in an epoch
    ("iteration", "workers"),
    [(3, 0), pytest.param(1, 0, marks=SLOW), pytest.param(2, 2, marks=SLOW), pytest.param(5, 2, marks=SLOW)],
)
def test_an_epoch_is_continued(make_runner, tmp_path, iteration, workers):
    changes = {**STATEFUL, "train_dataloader.num_workers": workers}
    make_runner(3, "whole", hooks=[EMA], **changes).train()
    stop(make_runner, Terminate(iteration), **changes)
    saved = torch.load(tmp_path / "work/preempted.pth", weights_only=True)["meta"]
    assert (saved["epoch"], saved["iter"]) == ((iteration - 1) // 2, iteration)
    make_runner(3, hooks=[EMA], resume=True, **changes).train()
    assert differences(tmp_path / "whole/epoch_3.pth", tmp_path / "work/epoch_3.pth") == []
    log = log_of(tmp_path / "work")
    assert f"SIGTERM: preempted.pth is saved in {tmp_path}/work after iteration {iteration};" in log
    assert f"Resuming from {tmp_path}/work/preempted.pth: epoch {(iteration - 1) // 2}, iteration {iteration}." in log


def best_of(folder):
    """The best checkpoint and its score, as the last checkpoint has them."""
    (path,) = folder.glob("best_*.pth")
    last = torch.load(folder / "epoch_3.pth", weights_only=True)["message_hub"]["runtime_info"]
    return path.name, last["best_score"], torch.load(path, weights_only=True)["meta"]["iter"]


@pytest.mark.slow
@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_in_a_validation(make_runner, tmp_path, epoch):
    """During a validation the model has the averaged weights; the checkpoint has both. The validation is repeated."""
    make_runner(3, "whole", hooks=[EMA], **VALIDATED).train()
    stop(make_runner, Terminate(epoch=epoch), **VALIDATED)
    saved = torch.load(tmp_path / "work/preempted.pth", weights_only=True)["meta"]
    assert (saved["epoch"], saved["iter"]) == (epoch, 2 * epoch)
    runner = make_runner(3, hooks=[EMA], resume=True, **VALIDATED)
    runner.train()
    assert differences(tmp_path / "whole/epoch_3.pth", tmp_path / "work/epoch_3.pth") == []
    if epoch < 3:  # the last checkpoint is not saved again after it is validated in another process
        assert best_of(tmp_path / "work") == best_of(tmp_path / "whole")
    assert log_of(tmp_path / "work").count("The validation that SIGTERM interrupted is repeated.") == 1
    values = runner.message_hub.get_scalar("val/coco/AP")
    assert len(values._log_history) == 3


class Validations(Hook):
    """Remember the iterations that are validated completely."""

    def __init__(self):
        self.iterations = []

    def after_val(self, runner):
        self.iterations.append(runner.iter)


@pytest.mark.slow
def test_a_new_training_from_its_weights_does_not_begin_with_a_validation(make_runner, tmp_path):
    stop(make_runner, Terminate(epoch=1), **VALIDATED)
    weights = str(tmp_path / "work/preempted.pth")
    seen = Validations()
    make_runner(1, "new", hooks=[EMA, seen], load_from=weights, **STATEFUL).train()
    assert seen.iterations == [2]


@pytest.mark.slow
@pytest.mark.parametrize("first", [1, 2])
def test_in_a_loop_of_iterations(make_runner, tmp_path, first):
    """The validation is not lost if the signal comes before it, nor the gradients if it comes in it."""
    seen, rest = Validations(), Validations()
    changes = dict(val_every=first, **{"optim_wrapper.accumulative_counts": 2})
    terminate = Terminate(2) if first == 2 else Terminate(epoch=0)  # the epoch of a loop of iterations is 0
    with pytest.raises(SystemExit):
        make_runner(2, hooks=[EMA, terminate, seen], **changes).train()
    assert seen.iterations == ([] if first == 2 else [1])
    assert torch.load(tmp_path / "work/preempted.pth", weights_only=True)["meta"]["iter"] == 2
    make_runner(2, hooks=[EMA, rest], resume=True, **changes).train()
    assert rest.iterations == ([2, 4] if first == 2 else [2, 3, 4])


@pytest.mark.slow
def test_accumulated_gradients_are_applied_first(make_runner, tmp_path):
    changes = {**STATEFUL, "train_dataloader.batch_size": 2, "optim_wrapper.accumulative_counts": 2}  # 5 iterations
    make_runner(3, "whole", hooks=[EMA], **changes).train()
    stop(make_runner, Terminate(7), **changes)
    assert torch.load(tmp_path / "work/preempted.pth", weights_only=True)["meta"]["iter"] == 8
    make_runner(3, hooks=[EMA], resume=True, **changes).train()
    assert differences(tmp_path / "whole/epoch_3.pth", tmp_path / "work/epoch_3.pth") == []


@pytest.mark.slow
def test_it_is_removed_when_a_later_checkpoint_is_complete(make_runner, tmp_path):
    stop(make_runner, Terminate(3), **STATEFUL)
    path = tmp_path / "work/preempted.pth"
    make_runner(1, hooks=[EMA], resume=True, **STATEFUL).train()  # nothing is left to train
    assert path.is_file()
    make_runner(3, hooks=[EMA], resume=True, **STATEFUL).train()
    assert not path.exists()
    make_runner(4, hooks=[EMA], resume=True, **STATEFUL).train()
    assert f"Resuming from {tmp_path}/work/epoch_3.pth: epoch 3, iteration 6." in log_of(tmp_path / "work")


@pytest.mark.slow
@pytest.mark.parametrize("from_first_epoch", [False, True])
def test_that_of_an_earlier_training_is_set_aside(make_runner, tmp_path, from_first_epoch):
    """A new training in the same work directory, or one that goes back to an older checkpoint."""
    folder = tmp_path / "work"
    stop(make_runner, Terminate(5), **STATEFUL)
    options = dict(resume=True, load_from=str(folder / "epoch_1.pth")) if from_first_epoch else {}
    make_runner(1 + from_first_epoch, hooks=[EMA], **options, **STATEFUL).train()
    assert not (folder / "preempted.pth").exists()
    assert torch.load(folder / "preempted_old.pth", weights_only=True)["meta"]["iter"] == 5
    assert "preempted.pth is of an earlier training that this one does not continue" in log_of(folder)
    runner = make_runner(3, hooks=[EMA], resume=True, **STATEFUL)
    runner.train()
    name = "epoch_2.pth: epoch 2, iteration 4" if from_first_epoch else "epoch_1.pth: epoch 1, iteration 2"
    assert f"Resuming from {folder}/{name}." in log_of(folder)


@pytest.mark.slow
def test_later_epochs_of_an_earlier_training_are_not_resumed(make_runner, tmp_path):
    folder = tmp_path / "work"
    make_runner(3, hooks=[EMA], **STATEFUL).train()  # epoch_1.pth to epoch_3.pth
    stop(make_runner, Terminate(3), **STATEFUL)  # a new training, in its second epoch
    assert (folder / "epoch_3.pth").is_file()
    make_runner(3, hooks=[EMA], resume=True, **STATEFUL).train()
    assert f"Resuming from {folder}/preempted.pth: epoch 1, iteration 3." in log_of(folder)
    (folder / "last_checkpoint").write_text(str(folder / "epoch_2.pth"))  # as if another training had ended there
    make_runner(3, hooks=[EMA], resume=True, **STATEFUL).train()
    assert f"Resuming from {folder}/epoch_2.pth: epoch 2, iteration 4." in log_of(folder)


@pytest.mark.slow
def test_it_is_set_aside_if_mmengine_resumes_from_another_file(make_runner, tmp_path):
    """Without ResumeHook."""
    folder, hooks = tmp_path / "work", {"custom_hooks": [dict(type="PreemptionHook")]}
    stop(make_runner, Terminate(3), **hooks)
    make_runner(3, resume=True, **hooks).train()
    assert "preempted.pth is of an earlier training that this one does not continue" in log_of(folder)
    assert torch.load(folder / "preempted_old.pth", weights_only=False)["meta"]["iter"] == 3


class Unreachable(LocalBackend):
    def put(self, obj, filepath):
        raise ConnectionError

    join_path = put


@pytest.mark.slow
def test_it_is_a_local_file_although_checkpoints_are_remote(make_runner, tmp_path):
    register_backend("unreachable", Unreachable, force=True)
    backend = {"default_hooks.checkpoint.backend_args": dict(backend="unreachable")}
    stop(make_runner, Terminate(1), **backend)
    assert torch.load(tmp_path / "work/preempted.pth", weights_only=True)["meta"]["iter"] == 1


@pytest.mark.slow
def test_the_epoch_starts_over_if_its_length_has_changed(make_runner, tmp_path):
    stop(make_runner, Terminate(3), **STATEFUL)
    runner = make_runner(3, hooks=[EMA], resume=True, **STATEFUL, **{"train_dataloader.batch_size": 3})
    runner.train()
    assert runner.iter == 3 + 2 * 3  # of 9 instances
    log = log_of(tmp_path / "work")
    assert log.count("The epoch had 2 iterations when the checkpoint was saved, but has 3 now: it starts over") == 1
    assert "they are skipped" not in log


@pytest.mark.slow
def test_checkpoints_of_earlier_versions(make_runner, tmp_path):
    make_runner(3, "whole", hooks=[EMA], **STATEFUL).train()
    stop(make_runner, Terminate(3), **STATEFUL)
    path = tmp_path / "work/preempted.pth"
    content = torch.load(path, weights_only=True)
    assert content.pop("validate") is False
    assert (content["random_state"].pop("done"), content["random_state"].pop("length")) == (1, 2)
    torch.save(content, path)
    make_runner(3, hooks=[EMA], resume=True, **STATEFUL).train()
    assert differences(tmp_path / "whole/epoch_3.pth", tmp_path / "work/epoch_3.pth") == []


class SwitchLoader(Hook):
    """Replace the data loader in the last epoch but one, as MMPose's YOLOXPoseModeSwitchHook; 5 iterations, not 2."""

    def before_train_epoch(self, runner):
        if runner.epoch + 1 == runner.max_epochs - 1:
            runner.train_loop.dataloader = Runner.build_dataloader({**runner.cfg.train_dataloader, "batch_size": 2})


@pytest.mark.slow
@pytest.mark.parametrize("iteration", [1, 4])
def test_a_hook_replaces_the_data_loader(make_runner, tmp_path, iteration):
    make_runner(3, "whole", hooks=[EMA, SwitchLoader()], **STATEFUL).train()
    with pytest.raises(SystemExit):
        make_runner(3, hooks=[EMA, SwitchLoader(), Terminate(iteration)], **STATEFUL).train()
    runner = make_runner(3, hooks=[EMA, SwitchLoader()], resume=True, **STATEFUL)
    runner.train()
    assert runner.iter == 2 + 5 + 5
    assert len(runner.train_dataloader) == 5
    assert differences(tmp_path / "whole/epoch_3.pth", tmp_path / "work/epoch_3.pth") == []


@pytest.fixture
def received():
    """The signals that a handler of SIGTERM got which was installed before the training."""
    numbers = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: numbers.append(number))
    yield numbers
    signal.signal(signal.SIGTERM, before)


class Handlers(Hook):
    """Remember the handler of SIGTERM in each iteration; send the signal ``signals`` times, and fail, in the first."""

    def __init__(self, signals=0, error=None):
        self.seen, self._signals, self._error = [], signals, error

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        for _ in range(self._signals):
            os.kill(os.getpid(), signal.SIGTERM)
            self.seen.append(signal.getsignal(signal.SIGTERM))
        self.seen.append(signal.getsignal(signal.SIGTERM))
        if self._error is not None:
            raise self._error


@pytest.mark.slow
def test_the_handler_is_restored(make_runner):
    before, hook = signal.getsignal(signal.SIGTERM), Handlers()
    make_runner(1, hooks=[hook]).train()
    assert len(hook.seen) == 2
    assert before not in hook.seen
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.slow
def test_after_an_exception_the_handler_before_gets_the_signal(make_runner, received):
    before = signal.getsignal(signal.SIGTERM)
    for _ in range(2):  # the second training begins with the handler that the first left
        with pytest.raises(InterruptedError):
            make_runner(1, hooks=[Handlers(error=InterruptedError())]).train()
        assert received == []
    os.kill(os.getpid(), signal.SIGTERM)
    assert received == [signal.SIGTERM]
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.slow
@pytest.mark.parametrize(("pause", "passed"), [(0.0, [signal.SIGTERM]), (60.0, [])])
def test_a_second_signal_goes_to_the_handler_before(make_runner, tmp_path, monkeypatch, received, pause, passed):
    """Unless it comes so early that it is the same one, sent to all processes and repeated by torchrun."""
    monkeypatch.setattr(preemption_hook, "SAME_SIGNAL", pause)
    stop(make_runner, Handlers(signals=2))
    assert received == passed
    assert (tmp_path / "work/preempted.pth").is_file()


def fake_runner(folder, **attributes):
    loop = EpochBasedTrainLoop.__new__(EpochBasedTrainLoop)
    return SimpleNamespace(
        **{**dict(work_dir=folder, cfg={}, iter=0, train_loop=loop, hooks=[], world_size=1), **attributes}
    )


def test_a_handler_that_python_did_not_install_becomes_the_default(tmp_path, monkeypatch):
    """signal.signal returns None for it, and takes no None."""
    hook, installed = PreemptionHook(), []
    monkeypatch.setattr(signal, "signal", lambda number, handler: installed.append(handler))
    hook.before_train(fake_runner(tmp_path))
    hook.after_train(fake_runner(tmp_path))
    hook.after_train(fake_runner(tmp_path))
    assert len(installed) == 2
    assert installed[1] == signal.SIG_DFL


def make_wrapper(counts, done):
    wrapper = OptimWrapper(torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1), accumulative_counts=counts)
    wrapper.initialize_count_status(torch.nn.Linear(1, 1), done, 100)
    return wrapper


@pytest.mark.parametrize(
    ("wrapper", "stops"),
    [
        (OptimWrapperDict(one=make_wrapper(1, 3), two=make_wrapper(3, 3)), True),
        (OptimWrapperDict(one=make_wrapper(1, 3), two=make_wrapper(2, 3)), False),
        (make_wrapper(2, 3), False),
        (object(), True),
    ],
)
def test_several_optimizers(tmp_path, monkeypatch, wrapper, stops):
    hook, stopped = PreemptionHook(), []
    monkeypatch.setattr(hook, "_stop", lambda *args, **kwargs: stopped.append(True))
    hook._is_asked = True
    hook.after_train_iter(fake_runner(tmp_path, optim_wrapper=wrapper, train_dataloader=range(5)), 0)
    assert bool(stopped) is stops


@pytest.mark.slow
def test_sigterm_to_all_processes_of_a_job(make_runner, tmp_path, reliability):
    """A cluster sends the signal to the workers, too."""
    folder, times = tmp_path / "work", reliability.times(long=10, short=1)
    epochs = 3 * times + 3
    changes = {**VALIDATED, "train_dataloader.num_workers": 2, "val_dataloader.num_workers": 1}
    changes["val_dataloader.persistent_workers"] = True
    make_runner(epochs, "whole", hooks=[EMA], **changes).train()
    command = training_command(tmp_path, epochs, **changes)
    for attempt in range(times):
        with start_training(command) as process:
            wait_for_iterations(process, folder)
            time.sleep(0.11 * attempt)
            os.killpg(process.pid, signal.SIGTERM)
            _, errors = process.communicate(timeout=60)
            assert process.returncode == 143, errors.decode()[-2000:]
    make_runner(epochs, hooks=[EMA], resume=True, **changes).train()
    assert differences(tmp_path / f"whole/epoch_{epochs}.pth", folder / f"epoch_{epochs}.pth") == []
    outcome = "finishes the iteration, saves, exits with 143; after resuming, the bits of an uninterrupted training"
    reliability.row("training", "SIGTERM to the training and its 2 workers", times, outcome)


def train_in_a_group(rank, port, data, folder, terminate, changes):
    register_all_modules()
    os.environ["SYNTHETIC_ROOT"] = str(data)
    torch.set_num_threads(1)
    address = f"tcp://127.0.0.1:{port}"
    dist.init_process_group("gloo", address, datetime.timedelta(seconds=120), world_size=2, rank=rank)
    options = {**SHORT, "train_cfg.max_epochs": 3, "train_dataloader.batch_size": 2, **changes}
    runner = Runner.from_cfg(in_process_config(folder, **options))
    if rank == 1:
        runner.register_hook(terminate)
    runner.train()


def run_group(*arguments):
    """The exit statuses of two processes."""
    context, port = multiprocessing.get_context("spawn"), free_port()
    processes = [context.Process(target=train_in_a_group, args=(rank, port, *arguments)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    return [process.exitcode for process in processes]


@pytest.mark.slow
def test_a_signal_to_one_process_stops_all_after_the_same_iteration(people, tmp_path):
    assert run_group(people, tmp_path / "work", Terminate(4), {}) == [143, 143]
    saved = torch.load(tmp_path / "work/preempted.pth", weights_only=True)["meta"]
    assert (saved["epoch"], saved["iter"]) == (1, 4)  # 3 iterations in an epoch


@pytest.mark.slow
def test_several_processes_finish_a_validation(people, tmp_path):
    """The processes have different numbers of batches."""
    folder, changes = tmp_path / "work", {"train_cfg.val_interval": 1, "val_dataloader.batch_size": 1}
    assert run_group(people, folder, Terminate(epoch=1), changes) == [143, 143]
    saved = torch.load(folder / "preempted.pth", weights_only=True)
    assert (saved["meta"]["epoch"], saved["meta"]["iter"], saved["validate"]) == (1, 4, False)
    assert (folder / "best_coco_AP_epoch_1.pth").is_file()
    assert "Epoch(val) [1][3/3]" in log_of(folder)  # the other process has 2 batches
