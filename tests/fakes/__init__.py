"""Fakes of the activities: the same wire names and rules, a world in memory."""
