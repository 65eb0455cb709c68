"""`make bench-judgement`: the shipped detector on simulated deployments, beside what others do."""
