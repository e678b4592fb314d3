"""A pytest plugin: a failure is enough, to find the smallest one takes longer than all mutants."""


def pytest_configure() -> None:
    """Let hypothesis stop at the first failure it finds."""
    # pytest wants to see the import of hypothesis itself, so not at the top of a plugin.
    from hypothesis import Phase, settings  # noqa: PLC0415

    settings.register_profile("without shrinking", phases=(Phase.explicit, Phase.generate))
    settings.load_profile("without shrinking")
