-- One answer of a provider, as the caller's API has it. Whatever goes wrong here ends the answer with an error
-- in the caller's shape: nothing passes as the provider wrote it.

-- `emit` gets pieces of the answer; `state.to.finished` says that no more come.
local function new_stream(encoder, wanted, emit)
  local to = encoder.stream(emit, wanted)
  local state = { to = to }
  local function on_data(data)
    if not to.finished then
      take_data(state, data)
    end
  end
  state.sse = new_sse(on_data, function()
    if not to.finished then
      to.ping()
    end
  end)
  return state
end

local function guarded(state, work, ...)
  if state.to.finished then
    return
  end
  local done = pcall(work, ...)
  if not done and not state.to.finished then
    local failed = pcall(state.to.fail, defect("The provider's answer could not be translated."))
    state.to.finished = true
    return failed
  end
end

local function feed_answer(state, text)
  guarded(state, feed_sse, state.sse, text)
end

local function end_answer(state)
  guarded(state, end_sse, state.sse)
  if not state.to.finished then
    local to = state.to
    if to.answer.reason then
      guarded(state, to.done) -- complete but for its last mark
    else
      guarded(state, to.fail, defect("The provider ended its answer early."))
    end
  end
end

-- Status and body of a whole answer. `streamed` clients asked for a stream, and get the answer as one.
local function translated(status, text, encoder, wanted)
  local answer = text and decoded_object(text)
  if status >= 400 then
    return status, encoder.error(answer and failure_of(answer, status) or {
      message = "The provider answered with status " .. integer(status) .. ".",
      status = status,
    })
  elseif status < 200 or status >= 300 then
    return 502, encoder.error(defect("The provider answered with status " .. integer(status) .. "."))
  elseif not answer then
    return 502, encoder.error(defect("The provider's answer is not JSON."))
  end
  if (answer.error ~= nil and answer.error ~= null) or answer.object == "error" then
    local failure = failure_of(answer)
    return failure.status, encoder.error(failure)
  end
  local pieces = {}
  local to = wanted.stream
      and encoder.stream(function(piece)
        pieces[#pieces + 1] = piece
      end, wanted)
    or collector()
  if not take_whole(to, answer) then
    return 502, encoder.error(defect("The provider's answer is of another kind."))
  end
  if to.failure then
    return to.failure.status, encoder.error(to.failure)
  end
  if wanted.stream then
    return status, concat(pieces), true
  end
  return status, encoder.whole(to.answer, wanted)
end

local function translate_whole(status, text, encoder, wanted)
  local done, code, body, stream = pcall(translated, status, text, encoder, wanted)
  if done then
    return code, body, stream
  end
  return 502, encoder.error(defect("The provider's answer could not be translated."))
end
