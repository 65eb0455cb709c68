"""The process that gives the pods of all environments a life: answers, traffic, logs, metrics."""
