#!/usr/bin/env bash
# A gateway from the command line. Set OPENAI_BASE_URL and OPENAI_API_KEY first.
set -euo pipefail
: "${OPENAI_BASE_URL:?set it to http://HOST:PORT/v1 of the gateway}" "${OPENAI_API_KEY:?set it to a token of the gateway}"

ask() { curl -sS --fail-with-body -H "authorization: Bearer $OPENAI_API_KEY" -H "content-type: application/json" "$@"; echo; }

echo "-- a call: the address never leaves the house"
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

echo "-- a refusal says what is wrong"
ask "$OPENAI_BASE_URL/chat/completions" -d '{"model": "gpt-4o-mini", "messages": [' || true
