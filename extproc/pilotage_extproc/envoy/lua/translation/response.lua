-- Envoy's side: answers of requests that the picker has translated, each wholly or event by event, and errors that
-- name a place in a body that was changed.

local MOST_ERROR_BYTES = 65536

local function pass_stream(handle, encoder, wanted)
  local out = {}
  local state = new_stream(encoder, wanted, function(piece)
    out[#out + 1] = piece
  end)
  local last
  for chunk in handle:bodyChunks() do
    last = chunk
    feed_answer(state, chunk:getBytes(0, chunk:length()))
    chunk:setBytes(concat(out))
    out = {}
  end
  end_answer(state)
  if last and #out > 0 then
    last:setBytes(last:getBytes(0, last:length()) .. concat(out))
  end
end

-- Of an answer's headers only those that are known to be for the client: others speak for the provider's own
-- site (cookies, where to go, which pages may read), to proxies on the way, or repeat what was asked.
local function keep_known(headers)
  local unknown = {}
  for name in pairs(headers) do
    local known = PASSED_ANSWER_HEADERS[name]
    for prefix in pairs(PASSED_ANSWER_PREFIXES) do
      known = known or sub(name, 1, #prefix) == prefix
    end
    if not known then
      unknown[#unknown + 1] = name
    end
  end
  for _, name in ipairs(unknown) do
    headers:remove(name)
  end
end

local function own_error(failure)
  return DIALECT == "chat" and '{"error":' .. openai_error(failure) .. "}" or anthropic_error(failure)
end

-- An answer that is not one goes no further: where it points to is not followed, here or by the client, and a page
-- is for browsers.
local function refuse(handle, what)
  local body = handle:body(true)
  local headers = handle:headers()
  headers:replace(":status", "502")
  headers:replace("content-type", "application/json")
  headers:remove("content-encoding")
  body:setBytes(own_error(defect("The provider answered with " .. what .. ".")))
end

-- An error is told with the places of the client's own body.
local function tell_own_places(handle, moved)
  local headers = handle:headers()
  local coding = headers:get("content-encoding")
  local content_type = (headers:get("content-type") or ""):lower()
  if (coding and coding ~= "identity") or sub(content_type, 1, 16) ~= "application/json" then
    return
  end
  local body = handle:body(true)
  local length = body:length()
  if length == 0 or length > MOST_ERROR_BYTES then
    return
  end
  local text = body:getBytes(0, length)
  local own = with_own_places(text, moved)
  if own ~= text then
    body:setBytes(own)
  end
end

function envoy_on_response(handle)
  local headers = handle:headers()
  keep_known(headers)
  local status = tonumber(headers:get(":status")) or 500
  local asked = handle:streamInfo():dynamicMetadata():get(PROVIDER_NAMESPACE)
  local encoder = asked and ENCODERS[asked[ANSWER_AS]]
  if not encoder then
    if status >= 300 and status < 400 then
      refuse(handle, "status " .. integer(status))
    elseif status < 300 and sub((headers:get("content-type") or ""):lower(), 1, 9) == "text/html" then
      refuse(handle, "a page of HTML")
    elseif status >= 400 and status < 500 and asked and asked[MOVED] then
      tell_own_places(handle, asked[MOVED])
    end
    return
  end
  local wanted = {
    usage = asked[USAGE_WANTED] == YES,
    thinking = asked[THINKING_WANTED] == YES,
    stream = asked[STREAM_WANTED] == YES,
  }
  if asked[NOTES] then
    headers:replace(TRANSLATION_HEADER, asked[NOTES])
  end
  local content_type = (headers:get("content-type") or ""):lower()
  local coding = headers:get("content-encoding")
  if coding and coding ~= "identity" then
    status, content_type = status >= 400 and status or 502, ""
    headers:remove("content-encoding")
  end
  if status == 200 and sub(content_type, 1, 17) == "text/event-stream" then
    headers:remove("content-length")
    pass_stream(handle, encoder, wanted)
    return
  end
  local body = handle:body(true) -- there even where the answer has none
  local text = body:getBytes(0, body:length())
  local code, answer, stream = translate_whole(status, text, encoder, wanted)
  headers = handle:headers() -- the one from before the body came is out of date
  headers:replace(":status", integer(code))
  headers:replace("content-type", stream and "text/event-stream" or "application/json")
  body:setBytes(answer)
end
