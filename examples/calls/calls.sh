#!/bin/sh
# One request of each call that the gateway serves. Start one first:
#   pilotage up -f examples/quickstart --sim
# Usage: calls.sh [URL [MODEL]]
set -eu
url=${1:-http://127.0.0.1:8080}
model=${2:-small}

post() { # PATH BODY [CURL OPTION…]
  path=$1 body=$2
  shift 2
  printf '\nPOST %s\n' "$path"
  curl --silent --show-error --fail-with-body "$url$path" -H 'content-type: application/json' "$@" --data "$body"
}

get() { # PATH [CURL OPTION…]
  path=$1
  shift
  printf '\nGET %s\n' "$path"
  curl --silent --show-error --fail-with-body "$url$path" "$@"
}

messages='[{"role": "user", "content": "Why is the sky blue?"}]'

# OpenAI
get /v1/models
get "/v1/models/$model"
post /v1/chat/completions "{\"model\": \"$model\", \"messages\": $messages, \"max_tokens\": 8}"
post /v1/chat/completions "{\"model\": \"$model\", \"messages\": $messages, \"max_tokens\": 8, \"stream\": true}" --no-buffer
post /v1/completions "{\"model\": \"$model\", \"prompt\": \"The sky is\", \"max_tokens\": 8}"
post /v1/responses "{\"model\": \"$model\", \"input\": \"Why is the sky blue?\", \"max_output_tokens\": 8}"
post /v1/embeddings "{\"model\": \"$model\", \"input\": [\"sky\", \"sea\"]}"

# audio: a form, whose `model` field is found and changed where it stands
sound=$(mktemp)
trap 'rm -f "$sound"' EXIT
head -c 64000 /dev/zero > "$sound"
for call in transcriptions translations; do
  printf '\nPOST /v1/audio/%s\n' "$call"
  curl --silent --show-error --fail-with-body "$url/v1/audio/$call" -F "model=$model" -F "file=@$sound;filename=a.wav"
done

# Anthropic: `anthropic-version` also chooses the shape of the model calls
get /v1/models -H 'anthropic-version: 2023-06-01'
get "/v1/models/$model" -H 'anthropic-version: 2023-06-01'
post /v1/messages "{\"model\": \"$model\", \"messages\": $messages, \"max_tokens\": 8}" -H 'anthropic-version: 2023-06-01'
post /v1/messages/count_tokens "{\"model\": \"$model\", \"messages\": $messages}" -H 'anthropic-version: 2023-06-01'

# rerank (Jina, Cohere) and vLLM's own calls
for path in /rerank /v1/rerank /v2/rerank; do
  post "$path" "{\"model\": \"$model\", \"query\": \"sky\", \"documents\": [\"blue\", \"green\"]}"
done
for path in /score /v1/score; do
  post "$path" "{\"model\": \"$model\", \"text_1\": \"sky\", \"text_2\": [\"blue\", \"green\"]}"
done
post /classify "{\"model\": \"$model\", \"input\": [\"The sky is blue.\"]}"
post /pooling "{\"model\": \"$model\", \"input\": \"The sky is blue.\"}"
post /tokenize "{\"model\": \"$model\", \"prompt\": \"The sky is blue.\"}"
post /detokenize "{\"model\": \"$model\", \"tokens\": [1819043176, 1864396399]}"
echo
