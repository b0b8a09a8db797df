"""Number of hypothesis examples: always the same few, or with ``--full`` many that differ from run to run."""

from hypothesis import HealthCheck, settings

_USUAL = {"deadline": None, "database": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("sample", max_examples=12, derandomize=True, **_USUAL)
settings.register_profile("full", max_examples=500, **_USUAL)


def pytest_configure(config):
    settings.load_profile("full" if config.getoption("--full") else "sample")
