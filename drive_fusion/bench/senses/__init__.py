"""Parts of ``bench sensors``: the scene, the clock, the peer, the speed table, and how cost grows."""
