#!/usr/bin/env bash
# Runs once, when PostgreSQL makes its data folder: a database for Steward with a role and a schema per service, so that
# no service can read another's tables, and a database for n8n.
set -euo pipefail

# The password goes through a variable of psql, which quotes it; it never appears in a command line's SQL.
role() { # name, file of the password
  psql --set=ON_ERROR_STOP=1 --set=role="$1" --set=password="$(<"/run/secrets/$2")" --username=postgres --dbname=postgres --quiet <<'SQL'
CREATE ROLE :"role" LOGIN PASSWORD :'password';
SQL
}

run() { psql --set=ON_ERROR_STOP=1 --username=postgres --quiet "$@"; }

run --dbname=postgres --command='CREATE DATABASE steward'
run --dbname=postgres --command='REVOKE ALL ON DATABASE steward FROM PUBLIC'
for service in scoring approvals supply notify; do
  role "$service" "${service}_db"
  run --dbname=steward --command="GRANT CONNECT ON DATABASE steward TO $service" \
    --command="CREATE SCHEMA $service AUTHORIZATION $service"
done

role n8n n8n_db
run --dbname=postgres --command='CREATE DATABASE n8n OWNER n8n' --command='REVOKE ALL ON DATABASE n8n FROM PUBLIC'
