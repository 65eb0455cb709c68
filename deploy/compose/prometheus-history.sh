#!/bin/sh
# Gives a new Prometheus the samples of the hours before, so that "the hour before" can be asked for.
set -eu

[ -e /prometheus/.history ] && exit 0
promtool tsdb create-blocks-from openmetrics --quiet /var/lib/slipway/history.openmetrics /prometheus
touch /prometheus/.history
