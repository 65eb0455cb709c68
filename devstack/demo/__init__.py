"""`make demo`: the TEEI plan carries a release to the local production, people included."""
