"""What the command line prints of a run's answer."""

import pytest

from slipway.messages.controls import Reply
from starter.people import tell


@pytest.mark.parametrize(
    ("next_", "said"),
    [
        (
            "See: slipway status x",
            "Accepted: in phase approval. Nothing has been changed. See: slipway status x\n",
        ),
        ("", "Accepted: in phase approval. Nothing has been changed.\n"),
    ],
)
def test_the_next_command_comes_last(
    capsys: pytest.CaptureFixture[str], next_: str, said: str
) -> None:
    reply = Reply(
        request="r",
        kind="approve",
        accepted=True,
        because="Accepted in phase approval.",
        next=next_,
        world="Nothing has been changed.",
    )
    assert tell(reply, as_json=False) == 0
    assert capsys.readouterr().out == said
