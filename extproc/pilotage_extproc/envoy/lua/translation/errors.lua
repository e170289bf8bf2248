-- What went wrong, in the error object of the caller's API. A page of HTML or a defect of a script says
-- nothing of itself to the client.

local MAX_MESSAGE_BYTES = 2000

-- Of an API's answer: `{"error": {…}}`, `{"error": "…"}`, and what some servers say instead.
local function failure_of(answer, status)
  local said = object_of(answer.error) or (answer.object == "error" and answer) or {}
  local message = text_of(said.message) or text_of(answer.error) or text_of(answer.message) or text_of(answer.detail)
  local code = said.code
  if type(code) == "number" then
    code = integer(code)
  end
  local kind, named = text_of(said.type), text_of(code)
  local number = tonumber(named)
  local known = STREAM_ERROR_STATUSES[named] or STREAM_ERROR_STATUSES[kind]
  return {
    message = sub(message or "The provider answered with an error.", 1, MAX_MESSAGE_BYTES),
    kind = kind,
    code = named,
    param = text_of(said.param),
    status = status or known or (number and number >= 400 and number <= 599 and number) or 500,
  }
end

local function defect(message)
  return { message = message, status = 502 }
end

local ERROR_TYPES = {
  [401] = "authentication_error",
  [403] = "permission_error",
  [404] = "not_found_error",
  [413] = "request_too_large",
  [429] = "rate_limit_error",
  [529] = "overloaded_error",
}

-- In a stream the type is all that tells the status: whoever reads on (the hold, the usage script) goes by it.
local function error_type(status)
  return ERROR_TYPES[status] or status < 500 and "invalid_request_error" or "server_error"
end

local function openai_error(failure)
  local status = failure.status
  local kind = failure.kind
  if DIALECT ~= "chat" or not kind then
    kind = error_type(status)
  end
  local code = DIALECT == "chat" and failure.code or failure.kind
  return '{"message":'
    .. quoted(failure.message)
    .. ',"type":'
    .. quoted(kind)
    .. ',"param":'
    .. quoted_or_null(failure.param)
    .. ',"code":'
    .. quoted_or_null(code)
    .. "}"
end

local function anthropic_error(failure)
  local status = failure.status
  local kind = ANTHROPIC_ERROR_TYPES[status] or (status >= 500 and "api_error" or "invalid_request_error")
  return '{"type":"error","error":{"type":' .. quoted(kind) .. ',"message":' .. quoted(failure.message) .. "}}"
end
