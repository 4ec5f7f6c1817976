"""Before a test module imports vaelib: its public functions, held to their documented shapes."""


def pytest_configure(config):
    if hasattr(config, "workerinput") or config.getoption("dist", "no") == "no":  # as in the conftest above
        import shapes

        shapes.install()
