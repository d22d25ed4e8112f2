#!/usr/bin/env bash
# Runs once, when PostgreSQL makes its data folder: a database for Steward with two roles and a schema per service, and a
# database for n8n. One role owns the schema and migrates (`<service> migrate`), the other serves: it can read and write
# its tables, but of the audit log it can change nothing, nor the triggers that guard it. No service reads another's.
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
  role "${service}_owner" "${service}_owner_db"
  run --dbname=steward --command="GRANT CONNECT ON DATABASE steward TO $service, ${service}_owner" \
    --command="CREATE SCHEMA $service AUTHORIZATION ${service}_owner"
done

role n8n n8n_db
run --dbname=postgres --command='CREATE DATABASE n8n OWNER n8n' --command='REVOKE ALL ON DATABASE n8n FROM PUBLIC'
