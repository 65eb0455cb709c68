"""Which version of each real server the local stack runs. One place to bump them."""

GO_MINIMUM = (1, 26)

TEMPORAL = "1.32.0"
TEMPORAL_UI = "2.54.1"
VERSITYGW = "1.7.0"
KWOK = "0.8.0"
ETCD = "3.6.14"
PROMETHEUS = "3.14.0"
PROMETHEUS_MODULE = "0.314.0"
KUBERNETES = "1.36.3"
POSTGRES = "18"
PGBOUNCER = "1.18.0"
LOKI = "3.7.8"
CHROMIUM = "150.0.0"
"""The oldest one that tests were seen with: Debian's newest is taken."""

# Only docker-compose.yml runs these. kwok's images hold a Kubernetes of the same line as ours.
GRAFANA = "13.2.3"
KWOK_KUBERNETES = "1.36.1"
PAUSE = "3.10.1"
