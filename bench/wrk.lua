-- Cycles through prepared bodies: wrk -s wrk.lua URL -- FOLDER COUNT
local requests, at = {}, 0
function init(args)
  for index = 0, tonumber(args[2]) - 1 do
    local file = assert(io.open(args[1] .. "/" .. index .. ".json", "rb"))
    requests[index] = wrk.format("POST", "/v1/chat/completions", {["content-type"] = "application/json"}, file:read("*a"))
    file:close()
  end
  count = tonumber(args[2])
end
function request()
  at = (at + 1) % count
  return requests[at]
end
