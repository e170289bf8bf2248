"""How long picks carry what processes of the version before read."""

from pilotage_extproc.server.older_peers import OlderPeers


def test_they_are_remembered_for_a_while_after_the_last_has_gone():
    now = [100.0]
    peers = OlderPeers(lambda: now[0])
    assert not peers.about()
    peers.see(True)
    now[0] = 5000.0
    assert peers.about()
    peers.see(False)
    now[0] = 5029.0
    peers.see(False)
    assert peers.about()
    now[0] = 5030.0
    assert not peers.about()
