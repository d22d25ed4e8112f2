#!/usr/bin/env bash
# Makes what compose.yaml mounts and the repository must not hold: secrets/ and n8n/. What is there stays as it is, so
# it can be run again at any time; delete a file to have it made anew.
set -euo pipefail
cd "$(dirname "$0")"
umask 077
mkdir -p secrets n8n
command -v openssl >/dev/null || { echo "prepare.sh needs openssl" >&2; exit 1; }

# Files of the containers belong to several users there, so they are readable to all; the folder is closed instead.
keep() { # name; content from stdin, unless the file exists
  if [ -s "secrets/$1" ]; then cat >/dev/null; else cat >"secrets/$1"; fi
  chmod 444 "secrets/$1"
}
# Hexadecimal, because it goes into URLs and configuration files unquoted.
random() { openssl rand -hex 32; }
secret() { cat "secrets/$1"; }

for name in postgres_password scoring_db approvals_db supply_db notify_db scoring_owner_db approvals_owner_db \
  supply_owner_db notify_owner_db n8n_db rabbitmq_password redis_password \
  session_secret link_secret callback_header odoo_hook_secret n8n_encryption_key n8n_webhook_header; do
  random | keep "$name"
done
for service in scoring approvals supply notify; do
  echo "postgres://$service:$(secret "${service}_db")@postgres:5432/steward" | keep "${service}_store_url"
  echo "postgres://${service}_owner:$(secret "${service}_owner_db")@postgres:5432/steward" | keep "${service}_owner_url"
done
printf 'default_user = steward\ndefault_pass = %s\n' "$(secret rabbitmq_password)" | keep rabbitmq_user
echo "amqp://steward:$(secret rabbitmq_password)@rabbitmq:5672/steward" | keep bus_url
echo "requirepass $(secret redis_password)" | keep redis_conf
echo "redis://:$(secret redis_password)@redis:6379/0" | keep redis_url
# Ed25519 in PKCS#8, which signs grants, and a secret as Standard Webhooks wants it.
openssl genpkey -algorithm ed25519 2>/dev/null | keep grant_signing_key
# What signs the checkpoints of the audit logs.
openssl genpkey -algorithm ed25519 2>/dev/null | keep audit_signing_key
for name in callback_secret n8n_events_secret; do echo "whsec_$(openssl rand -base64 32)" | keep "$name"; done
# notifier-svc speaks to other hosts over TLS only, so the catcher needs a certificate, and notifier-svc what signed it.
if [ ! -s secrets/mail_cert ]; then
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj "/CN=mail catcher of Steward" \
    -keyout secrets/mail_ca_key -out secrets/mail_ca 2>/dev/null
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=mail -keyout secrets/mail_key 2>/dev/null |
    openssl x509 -req -days 3650 -CA secrets/mail_ca -CAkey secrets/mail_ca_key -CAcreateserial \
      -extfile <(echo subjectAltName=DNS:mail) -out secrets/mail_cert 2>/dev/null
  rm -f secrets/mail_ca_key secrets/mail_ca.srl
  chmod 444 secrets/mail_ca secrets/mail_cert secrets/mail_key
fi
# Filled in by hand: see the README.
echo "keys: []" | keep api_keys.yaml
for name in odoo_api_key n8n_api_key; do echo "not-set" | keep "$name"; done

# n8n's side of the same secrets. Written anew each time, into the same file, because a container may have it mounted.
[ ! -e secrets/n8n_credentials.json ] || chmod 644 secrets/n8n_credentials.json
sed -e "s#stw_n8n_replace-me#$(secret n8n_api_key)#" \
  -e "/X-Steward-Webhook/,/}/s#replace-me#$(secret n8n_webhook_header)#" \
  -e "/X-Steward-Callback/,/}/s#replace-me#$(secret callback_header)#" \
  ../../n8n-workflows/credentials.example.json >secrets/n8n_credentials.json
chmod 444 secrets/n8n_credentials.json

# The workflows, with the address that Steward has for n8n here. n8n runs as another user, so they are readable to all.
chmod 755 n8n
for workflow in ../../n8n-workflows/*.json; do
  case $workflow in *credentials*) continue ;; esac
  sed 's#http://127\.0\.0\.1:8080#http://gateway:8080#g' "$workflow" >"n8n/$(basename "$workflow")"
done
chmod 644 n8n/*.json

[ -e .env ] || { cp .env.example .env && echo "made .env from .env.example: set ODOO_URL and ODOO_DATABASE there"; }
for name in odoo_api_key n8n_api_key; do
  [ "$(secret "$name")" != not-set ] || echo "secrets/$name is not set yet: see ../README.md"
done
