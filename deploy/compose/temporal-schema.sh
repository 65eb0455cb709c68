#!/bin/sh
# Creates Temporal's two databases, or brings their schema up to the server's version.
set -eu

schemas="${TEMPORAL_SCHEMAS:-/etc/temporal/schema/postgresql/v12}"
log="$(mktemp)"

tool() { # DATABASE ARGUMENTS...
  database="$1"
  shift
  temporal-sql-tool --plugin "$DB" --ep "$POSTGRES_SEEDS" -p "$DB_PORT" \
    -u "$POSTGRES_USER" --db "$database" "$@"
}

for name in temporal visibility; do
  database="temporal"
  if [ "$name" = visibility ]; then database="temporal_visibility"; fi
  tool "$database" create
  # setup-schema sets an existing schema's version back to 0.0: only for a new database.
  if ! tool "$database" update-schema -d "$schemas/$name/versioned" >"$log" 2>&1; then
    grep -q 'schema_version.* does not exist' "$log" || { cat "$log"; exit 1; }
    tool "$database" setup-schema -v 0.0
    tool "$database" update-schema -d "$schemas/$name/versioned"
  fi
done
