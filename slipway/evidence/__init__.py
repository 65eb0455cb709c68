"""Evidence: what the files of a release prove. Fails closed: missing, unreadable, stale or about
another image is a failed gate, with a sentence."""

from slipway.evidence.judge import EvidenceFile, judge, references

__all__ = ["EvidenceFile", "judge", "references"]
