"""What several tests of the scene begin with; the MRML classes are imported by those tests only."""

import os

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # several test processes with all threads each would only wait for one another
    os.environ.setdefault("OMP_NUM_THREADS", "1")

SLOW = ("test_training_run.py", "test_training.py", "test_compare.py")  # minutes each


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true", help="robustness: all inputs, kills and cases (about an hour)")


@pytest.fixture(scope="session")
def full(request):
    """Whether to run a harness of ``Testing/robustness`` to its whole length; else it is a sample of seconds."""
    return request.config.getoption("--full")


def pytest_collection_modifyitems(items):
    """The slowest files first, or the last process would still be busy with one when all others are done."""
    items.sort(key=lambda item: item.path.name not in SLOW)


@pytest.fixture
def app():
    """A scene as an application has it, without windows."""
    from helpers_scene import HeadlessSlicer

    application = HeadlessSlicer()
    yield application
    application.close()


@pytest.fixture
def loaded(tmp_path):
    """Save and load a scene as often as asked; the applications close at the end."""
    from helpers_scene import save_and_load

    others = []

    def load(app):
        others.append(save_and_load(app, tmp_path / f"scene{len(others)}.mrb"))
        return others[-1]

    yield load
    for other in others:
        other.close()


@pytest.fixture(scope="session")
def drawing():
    """Tests that look at slice views are skipped where nothing can be drawn."""
    from helpers_scene import can_draw

    reason = can_draw()
    if reason:
        pytest.skip(reason)


@pytest.fixture(scope="module")
def one_thread():
    """Small networks gain nothing from more threads, and starve where others compute."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
