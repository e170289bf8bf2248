"""How long picks carry what processes of the version before read."""

from pilotage_extproc.server.older_siblings import OlderSiblings


def test_they_are_remembered_for_a_while_after_the_last_has_gone():
    now = [100.0]
    siblings = OlderSiblings(lambda: now[0])
    assert not siblings.about()
    siblings.see(True)
    now[0] = 5000.0
    assert siblings.about()
    siblings.see(False)
    now[0] = 5029.0
    siblings.see(False)
    assert siblings.about()
    now[0] = 5030.0
    assert not siblings.about()
