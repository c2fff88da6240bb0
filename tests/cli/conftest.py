"""What tests of several verbs share."""

import pytest


@pytest.fixture
def refused(sample, tmp_path):
    """What was complained by the module's own `sample`; nothing was written."""

    def run(*arguments, **model):
        before = sorted(tmp_path.rglob("*"))
        code, out, err = sample(*arguments, **model)
        assert (code, out) == (2, "")
        assert "Traceback" not in err
        assert sorted(tmp_path.rglob("*")) == before
        return err

    return run
