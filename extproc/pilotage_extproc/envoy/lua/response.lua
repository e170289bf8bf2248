-- Each answer, whole or streamed, as it passes through Envoy. Values go to dynamic metadata when they are
-- complete, so a stream that is cut keeps what it had said.

local function publish(handle, published, seen)
  for key, value in pairs(seen) do
    if published[key] ~= value then
      published[key] = value
      handle:streamInfo():dynamicMetadata():set(USAGE_NAMESPACE, METADATA_KEYS[key], value)
    end
  end
end

-- Tells the picker where a background response is being made, once, as soon as its id is known: a unary gRPC
-- call whose answer nobody waits for. The access log says the same when the stream ends.
local function announce(handle, id, holder)
  local served = (handle:streamInfo():dynamicMetadata():get(LB_NAMESPACE) or {})[DESTINATION_SERVED]
  if not served then
    return
  end
  local message = string.format('{"id":"%s","address":"%s","holder":"%s"}', id, served, holder or "")
  handle:httpCall(EXTPROC_CLUSTER, {
    [":method"] = "POST",
    [":path"] = ANNOUNCE_PATH,
    [":authority"] = EXTPROC_CLUSTER,
    ["content-type"] = "application/grpc",
    ["te"] = "trailers",
  }, "\0\0\0" .. string.char(math.floor(#message / 256), #message % 256) .. message, 1000, true)
end

local function is_provider(handle)
  local served = (handle:streamInfo():dynamicMetadata():get(LB_NAMESPACE) or {})[DESTINATION_SERVED]
  return served and served:sub(1, #PROVIDER_PREFIX) == PROVIDER_PREFIX
end

-- What was left out when the request was translated, as the hop of the provider that answered says.
local function take_notes(handle)
  local notes = handle:headers():get(TRANSLATION_HEADER)
  if not notes then
    return
  end
  handle:headers():remove(TRANSLATION_HEADER)
  if is_provider(handle) then
    handle:streamInfo():dynamicMetadata():set(USAGE_NAMESPACE, TRANSLATION_NOTES, notes)
  end
end

local function answer_instead(handle, status, bodies, pick)
  local body = handle:body(true) -- there even where the answer has none
  local headers = handle:headers()
  headers:replace(":status", status)
  headers:replace("content-type", "application/json")
  headers:remove("content-encoding")
  body:setBytes(bodies[pick[ANTHROPIC_ERRORS] == FLAG and "anthropic" or "openai"])
end

-- Whether a server that is no provider stands in the list before the one that answered.
local function own_server_failed(handle)
  local lb = handle:streamInfo():dynamicMetadata():get(LB_NAMESPACE) or {}
  for address in (lb[DESTINATION] or ""):gmatch("[^,]+") do
    if address == lb[DESTINATION_SERVED] then
      return false
    elseif address:sub(1, #PROVIDER_PREFIX) ~= PROVIDER_PREFIX then
      return true
    end
  end
  return false
end

-- Whether another answer was put in the place of a provider's.
local function replaced(handle, pick)
  local headers = handle:headers()
  local status, not_asked = headers:get(":status"), headers:get(NOT_ASKED)
  if not_asked then
    headers:remove(NOT_ASKED)
  end
  if not is_provider(handle) then
    return false
  elseif status == "401" or status == "403" then
    -- The credential that it refuses is the gateway's. What it says of it is not the client's: it may quote a
    -- part of it, and with 401 clients would look for a fault in their own.
    answer_instead(handle, "502", CREDENTIALS_REFUSED, pick)
    return true
  elseif not_asked and own_server_failed(handle) then
    -- The request is not what is wrong: whoever could be asked it failed, and may be asked again.
    answer_instead(handle, "503", NOBODY_ANSWERED, pick)
    handle:headers():replace("retry-after", "1")
    return true
  end
  return false
end

function envoy_on_response(handle)
  take_notes(handle)
  local pick = handle:streamInfo():dynamicMetadata():get(PILOTAGE_NAMESPACE) or {}
  if replaced(handle, pick) then
    return
  end
  local content_type = (handle:headers():get("content-type") or ""):lower()
  local seen, published = {}, {}
  local feed, state
  if content_type:sub(1, 17) == "text/event-stream" then
    local keeps_last = pick[KEEP_LAST_USAGE] == FLAG
    -- providers say it once, some of them beside the last choice
    if pick[STRIP_USAGE] == FLAG and not (keeps_last and is_provider(handle)) then
      feed, state = strip, new_stripper(seen, keeps_last)
      handle:headers():remove("content-length")
    else
      feed, state = feed_events, new_events(seen)
    end
  elseif content_type:sub(1, 16) == "application/json" then
    if handle:headers():get("content-encoding") then
      return
    end
    feed, state = scan, new_scanner(reader(seen, false))
  else
    return
  end
  local counter = pick[COUNT_OUTPUT] == FLAG and feed ~= scan and new_output_counter()
  local guard = pick[ALLOWANCE] and feed ~= scan and new_allowance(pick[ALLOWANCE])
  if guard then
    handle:headers():remove("content-length")
  end
  local announced = pick[ANNOUNCE_RESPONSE] ~= FLAG
  local last
  for chunk in handle:bodyChunks() do
    last = chunk
    local text = chunk:getBytes(0, chunk:length())
    if counter then
      count_output(counter, text)
      seen.counted = math.max(0, counter.count)
    end
    local passed = feed(state, text) or text
    if guard then
      passed = allowed(guard, passed)
      seen.ended_at = guard.ended and guard.counter.count or nil
    end
    if passed ~= text then
      chunk:setBytes(passed)
    end
    publish(handle, published, seen)
    if seen.id and not announced then
      announced = true
      announce(handle, seen.id, pick[HOLDER])
    end
  end
  if feed == strip and last and state.held_bytes > 0 then -- the end came together with the last bytes
    local unfinished = strip(state, "")
    if guard then
      unfinished = allowed(guard, unfinished)
    end
    pcall(function() -- with trailers the last piece is gone; clients drop an unfinished event in any case
      last:setBytes(last:getBytes(0, last:length()) .. unfinished)
    end)
  end
  local scanner = feed == scan and state or (state.events or state).scanner
  if scanner.depth > 0 and not seen.error then -- it has ended, and its object, or that of its last event, has not
    seen.error = BROKEN_OFF
    publish(handle, published, seen)
  end
end
