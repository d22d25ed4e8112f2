#!/usr/bin/env bash
# Starts a real n8n with the workflows beside a fleet that `make run` started on this machine.
# usage: n8n-workflows/up.sh [DATA_DIR]      DATA_DIR is that of `make run`, steward-data unless said otherwise.
# Environment: STEWARD_URL (http://127.0.0.1:8080), N8N_PORT (5678). n8n keeps its own data in DATA_DIR/n8n.
set -euo pipefail
cd "$(dirname "$0")/.."
data=$(readlink -f "${1:-steward-data}")
steward=${STEWARD_URL:-http://127.0.0.1:8080}
port=${N8N_PORT:-5678}
n8n="${XDG_CACHE_HOME:-$HOME/.cache}/steward/n8n/bin/n8n"
[ -x "$n8n" ] || { echo "n8n is not installed: run tests/setup/install.sh n8n" >&2; exit 1; }
[ -r "$data/n8n-credentials.json" ] || { echo "no $data/n8n-credentials.json: start the fleet first with \`make run\`" >&2; exit 1; }
curl -sf "$steward/readyz" >/dev/null || { echo "no fleet answers at $steward: start it first with \`make run\`" >&2; exit 1; }

export N8N_USER_FOLDER="$data/n8n" N8N_LISTEN_ADDRESS=127.0.0.1 N8N_HOST=127.0.0.1 N8N_PORT="$port"
export N8N_WEBHOOK_URL="http://127.0.0.1:$port/" N8N_SECURE_COOKIE=false N8N_DIAGNOSTICS_ENABLED=false
export N8N_VERSION_NOTIFICATIONS_ENABLED=false N8N_PERSONALIZATION_ENABLED=false N8N_RUNNERS_BROKER_PORT=$((port + 1))
mkdir -p "$N8N_USER_FOLDER"
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
for name in error-handler approve-and-wait low-stock-triage demand-watch constrained-allocation transfer-decided; do
  sed "s#http://127.0.0.1:8080#$steward#" "n8n-workflows/$name.json" > "$work/$name.json"
done
"$n8n" import:credentials --input="$data/n8n-credentials.json"
"$n8n" import:workflow --separate --input="$work"
for id in stwErrors0000001 stwApprove000001 stwLowStock00001 stwDemand0000001 stwAllocate00001 stwDecided000001; do "$n8n" publish:workflow --id="$id"; done

# The push from Steward to n8n. The same key again is the same subscription.
header=$(cat "$data/secrets/webhook-header")
curl -sf -o /dev/null -X POST "$steward/notify/v1/subscriptions" \
  -H "Authorization: Bearer $(cat "$data/secrets/operator.key")" -H "Idempotency-Key: n8n-up-receipts:$port" \
  -H 'Content-Type: application/json' -d @- <<JSON
{"types": ["steward.stock.ran_low.v1"], "url": "http://127.0.0.1:$port/webhook/steward-low-stock",
 "header": {"name": "X-Steward-Webhook", "value": "$header"}, "receipt_within_seconds": 900}
JSON
echo "n8n opens at http://127.0.0.1:$port (it asks for an owner the first time); Ctrl-C ends it."
rm -rf "$work"
exec "$n8n" start
