#!/bin/sh
# Registers the namespace and slipway's search attributes; harmless when they are there.
set -eu

temporal operator namespace describe --namespace default >/dev/null 2>&1 ||
  temporal operator namespace create --namespace default --retention 720h

known="$(temporal operator search-attribute list --namespace default)"
for name in Deployment Environment Release Phase Outcome WaitingFor; do
  case "$known" in
    *"Slipway$name "*) ;;
    *) temporal operator search-attribute create --namespace default \
         --name "Slipway$name" --type Keyword ;;
  esac
done
