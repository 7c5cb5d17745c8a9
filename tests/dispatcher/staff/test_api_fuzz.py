"""The whole API as its own document draws it: right and wrong requests, and no answer that the document does not know.

The long run is `python -m tests.fuzz`.
"""

import pytest

from tests import fuzz

EXAMPLES = 3


@pytest.mark.timeout(400)
def test_no_request_that_the_document_can_draw_gets_a_5xx_or_an_answer_that_it_does_not_know(tmp_path):
    done = fuzz.run(
        tmp_path, "--checks", "all", "--max-examples", str(EXAMPLES), "--seed", "1",
        "--generation-database", "none", "--warnings", "off", quiet=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    assert "passed" in done.stdout
