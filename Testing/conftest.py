"""Shared fixtures; the MRML classes are imported only by the tests that use them."""

import os

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # each test process would otherwise use all cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")

SLOW = ("test_training_run.py", "test_training.py", "test_compare.py")  # minutes each


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true", help="robustness: all inputs, kills and cases (about an hour)")


@pytest.fixture(scope="session")
def full(request):
    """Whether to run the harnesses of ``Testing/robustness`` in full; by default they take a sample of seconds."""
    return request.config.getoption("--full")


def pytest_collection_modifyitems(items):
    """The slowest files first, so that all processes finish at about the same time."""
    items.sort(key=lambda item: item.path.name not in SLOW)


@pytest.fixture
def app():
    """A scene as in the application, without windows."""
    from helpers_scene import HeadlessSlicer

    application = HeadlessSlicer()
    yield application
    application.close()


@pytest.fixture
def loaded(tmp_path):
    """A function that saves and loads a scene; the applications are closed at the end."""
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
    """Skips tests of slice views where rendering is not possible."""
    from helpers_scene import can_draw

    reason = can_draw()
    if reason:
        pytest.skip(reason)


@pytest.fixture(scope="module")
def one_thread():
    """One torch thread: small networks do not benefit from more, and slow down when cores are busy."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
