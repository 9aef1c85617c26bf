#!/usr/bin/env bash
# curl through a gateway: a call, a stream, a ticket, and an error with its reason.
# Set OPENAI_BASE_URL to the gateway and OPENAI_API_KEY to a token of it.
# The provider receives [REDACTED_EMAIL] in place of the address.
set -euo pipefail
: "${OPENAI_BASE_URL:?set it to http://HOST:PORT/v1 of the gateway}" "${OPENAI_API_KEY:?set it to a token of the gateway}"

ask() { curl -sS --fail-with-body -H "authorization: Bearer $OPENAI_API_KEY" -H "content-type: application/json" "$@"; echo; }

echo "-- a call"
ask "$OPENAI_BASE_URL/chat/completions" -d '{
  "model": "gpt-4o-mini",
  "messages": [{"role": "user", "content": "Write a short note to jane.doe@example.com"}]
}'

echo "-- a stream"
ask -N "$OPENAI_BASE_URL/chat/completions" -d '{
  "model": "gpt-4o-mini", "stream": true,
  "messages": [{"role": "user", "content": "Say hello in five words"}]
}'

echo "-- a ticket: category, priority and confidence"
ask "${OPENAI_BASE_URL%/v1}/api/ai/intent" -d '{
  "title": "Charged twice", "body": "The invoice of May was charged twice, please refund one. Urgent!"
}'

echo "-- an error names the reason"
ask "$OPENAI_BASE_URL/chat/completions" -d '{"model": "gpt-4o-mini", "messages": [' || true
