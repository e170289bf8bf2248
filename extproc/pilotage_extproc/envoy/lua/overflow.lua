-- Whether a server refuses a request because its prompt is too long: then a header of the answer says so, and
-- the router may try the next of the list. Other refused requests are the client's own, and stay as they are.

function envoy_on_response(handle)
  local status = handle:headers():get(":status")
  if status ~= "400" and status ~= "413" then
    return
  end
  local body = handle:body()
  if body == nil then
    return
  end
  local text = body:getBytes(0, math.min(body:length(), MOST_READ)):lower()
  for _, sign in ipairs(SIGNS) do
    if text:find(sign, 1, true) then
      handle:headers():add(OVERFLOWS, "1")
      return
    end
  end
end
