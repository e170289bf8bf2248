-- An answer as its parts come: text, thinking, calls of tools, refusals, why it ended, what it cost. Encoders
-- that stream keep what they must say again; all others write the whole.

local MAX_ANSWER_BYTES = 33554432
local MAX_NAME_BYTES = 1024 -- of ids and names: some stand in each event of a stream
local PART_BYTES = 256 -- what a part costs beside its text

local function new_answer()
  return { parts = {}, usage = {}, bytes = 0 }
end

local function grow_by(holder, bytes)
  holder.bytes = holder.bytes + bytes
  if holder.bytes > MAX_ANSWER_BYTES then
    error("the answer is too long", 0)
  end
end

local function grow(answer, text)
  grow_by(answer, #text)
end

local function name_of(value)
  local name = text_of(value)
  if name and #name > MAX_NAME_BYTES then
    error("a name is too long", 0)
  end
  return name
end

-- The part that goes on, or a new one.
local function part_of(answer, kind)
  local last = answer.parts[#answer.parts]
  if last and last.kind == kind and not last.closed then
    return last
  end
  grow_by(answer, PART_BYTES)
  local part = { kind = kind, pieces = {} }
  answer.parts[#answer.parts + 1] = part
  return part
end

local function add(answer, kind, text)
  grow(answer, text)
  local part = part_of(answer, kind)
  part.pieces[#part.pieces + 1] = text
end

local function said(part)
  return concat(part.pieces)
end

-- What OpenAI's API has no member for, and is paid for at a price of its own.
local function hour_writes(usage)
  local hour = usage.written_hour or 0
  return hour > 0 and ',"cache_write_hour_tokens":' .. integer(hour) or ""
end

local function keep_usage(usage, more)
  for key, value in pairs(more) do
    usage[key] = value
  end
end

local function collector()
  local to = { answer = new_answer() }
  local answer = to.answer
  function to.start(id, model)
    answer.id = answer.id or id
    answer.model = answer.model or model
  end
  function to.text(text)
    add(answer, "text", text)
  end
  function to.refusal(text)
    add(answer, "refusal", text)
  end
  function to.thinking(text)
    add(answer, "thinking", text)
  end
  function to.signature(text)
    grow(answer, text)
    local part = part_of(answer, "thinking")
    part.signature, part.closed = text, true
  end
  function to.redacted(data)
    add(answer, "redacted", data)
    answer.parts[#answer.parts].closed = true
  end
  function to.tool(id, name)
    local part = part_of(answer, "tool")
    part.id, part.name = id, name
  end
  function to.arguments(text)
    add(answer, "tool", text)
  end
  function to.tool_end()
    answer.parts[#answer.parts].closed = true
  end
  function to.stop(reason, sequence)
    answer.reason, answer.sequence = reason, sequence
  end
  function to.usage(usage)
    keep_usage(answer.usage, usage)
  end
  function to.ping() end
  function to.done()
    to.finished = true
  end
  function to.fail(failure)
    to.finished, to.failure = true, failure
  end
  return to
end
